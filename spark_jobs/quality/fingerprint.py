"""The fingerprint of a build: what a verdict is about, and what publish compares with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from spark_jobs.quality.rules import rules_hash
from spark_jobs.runtime.code_version import code_version
from spark_jobs.storage import staging

if TYPE_CHECKING:
    from spark_jobs.storage.build_record import Build
    from spark_jobs.storage.lakehouse import Lakehouse


def fingerprint_as_built(build: Build) -> str:
    """Return sha256 (hex) over the staging as the build wrote it, the publications it read, its parameters, rules and
    code."""
    return _fingerprint(build, {table: staged.digest for table, staged in build.staged.items()})


def fingerprint(lakehouse: Lakehouse, build: Build) -> str:
    """Return the same of the staging as it is now: another hash where a staged file changed since.

    Raises BuildMissing.
    """
    return _fingerprint(build, _digests(lakehouse, build))


def is_as_staged(lakehouse: Lakehouse, build: Build) -> bool:
    """Return whether the staging is still as the build wrote it, whatever code looks. Raises BuildMissing."""
    return _digests(lakehouse, build) == {table: staged.digest for table, staged in build.staged.items()}


def _digests(lakehouse: Lakehouse, build: Build) -> dict[str, str]:
    return {table: staging.verify(lakehouse, table, staged) for table, staged in build.staged.items()}


def _fingerprint(build: Build, digests: Mapping[str, str]) -> str:
    content = {
        "layer": build.layer,
        "build_id": build.build_id,
        "staged": {table: [digests[table], asdict(staged)] for table, staged in build.staged.items()},
        "previous": asdict(build.previous),
        "upstream": build.upstream and asdict(build.upstream),
        "previous_upstream": build.previous_upstream and asdict(build.previous_upstream),
        "full_refresh": build.full_refresh,
        "interval": [str(build.interval.start), str(build.interval.end)],
        "missing_dates": build.missing_dates,
        "parameters": build.parameters.data_parameters(),
        "rules": rules_hash(build.layer),
        "code_version": code_version(),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
