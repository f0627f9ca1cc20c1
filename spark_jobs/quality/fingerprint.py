"""The fingerprint of a build: what a verdict is about, and what publish compares with what it finds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from spark_jobs.quality.rules import suites_hash
from spark_jobs.runtime.code_version import code_version
from spark_jobs.runtime.concurrency import each_at_once
from spark_jobs.runtime.errors import BuildMissing
from spark_jobs.storage import delta
from spark_jobs.storage.build_record import Build
from spark_jobs.storage.delta import Head

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def fingerprint_as_built(build: Build) -> str:
    """sha256 (hex) of what a verdict is about: the staging as the build wrote it, and the running code.

    Another record of the build, other rules, other parameters and other code give another one.
    """
    return _fingerprint(build, {table: Head(staged.table_id, staged.version) for table, staged in build.staged.items()})


def fingerprint(spark: SparkSession, build: Build) -> str:
    """The same of the staging tables as they are now: it differs where one was written to, or made again, since.

    Raises BuildMissing.
    """
    heads: dict[str, Head] = {}
    found = each_at_once(lambda staged: delta.head(spark, staged.name, staged.version), build.staged.values())
    for (table, staged), head in zip(build.staged.items(), found, strict=True):
        if head is None:
            raise BuildMissing(f"the staging table {staged.name} is gone: run the build again")
        heads[table] = head
    return _fingerprint(build, heads)


def _fingerprint(build: Build, heads: Mapping[str, Head]) -> str:
    content = {
        "layer": build.layer,
        "build_id": build.build_id,
        "staged": {
            table: [heads[table].table_id, heads[table].version, asdict(staged)]
            for table, staged in build.staged.items()
        },
        "base": asdict(build.base),
        "below": build.below and asdict(build.below),
        "below_before": build.below_before and asdict(build.below_before),
        "whole": build.whole,
        "interval": [str(build.interval.start), str(build.interval.end)],
        "missing_dates": list(build.missing_dates),
        "parameters": build.parameters.data_parameters(),
        "suites": suites_hash(build.layer),
        "code_version": code_version(),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
