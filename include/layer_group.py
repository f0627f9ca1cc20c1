"""The task group of a layer: build, gate, publish."""

from __future__ import annotations

import json
from pathlib import Path

from airflow.sdk import Asset, TaskGroup

from include.gate import AuditGate
from include.operators import JobRunOperator, PublishOperator
from include.settings import SETTINGS, Settings

# A worker has no Spark, so it cannot import the registry of tables: `make generate`
# writes this file from it.
PUBLISHED_TABLES: dict[str, list[str]] = json.loads(
    Path(__file__).with_name("published_tables.json").read_text(encoding="utf-8")
)


def published_assets(layer: str, settings: Settings = SETTINGS) -> dict[str, Asset]:
    """Return one asset per published table of a layer, by `<layer>.<table>`."""
    schema = f"{settings.schema_prefix}{layer}"
    return {
        f"{layer}.{table}": Asset(
            name=f"{settings.catalog}.{schema}.{table}",
            uri=f"databricks://{settings.asset_host}/{settings.catalog}/{schema}/{table}",
            group="lakehouse",
        )
        for table in PUBLISHED_TABLES[layer]
    }


def layer_group(layer: str, settings: Settings = SETTINGS) -> TaskGroup:
    """Return the tasks that write a layer to staging, audit it and publish it.

    They share a pool of one slot, in which tasks near the end of their run come first: a layer's build begins when the
    one before it is published, and so is not stale when its own turn comes. Meanwhile other runs work on other layers.
    """
    pool = settings.layer_pool(layer)
    build_run = f"{{{{ ti.xcom_pull(task_ids='{layer}.build', key='run_id') }}}}"
    with TaskGroup(group_id=layer, tooltip=f"Build, audit and publish the {layer} layer") as group:
        build = JobRunOperator(
            task_id="build",
            job=f"{layer}_build",
            with_interval=True,
            job_parameters={"allow_missing_dates": "true"} if settings.allow_missing_dates else {},
            execution_timeout=settings.task_timeout,
            pool=pool,
            settings=settings,
            doc_md=f"Job `{layer}_build`: writes {layer} to staging and audits it there. Publishes nothing.",
        )
        gate = AuditGate(
            task_id="gate",
            layer=layer,
            build_job_run_id=build_run,
            execution_timeout=settings.task_timeout,
            pool=pool,
            settings=settings,
            doc_md="Reads the verdict; if it forbids publishing, fails for good, or asks a person where a setting says"
            " so. Links: *Verdict*, *Data Docs*.",
        )
        publish = PublishOperator(
            task_id="publish",
            layer=layer,
            published=published_assets(layer, settings),
            execution_timeout=settings.task_timeout,
            pool=pool,
            settings=settings,
            doc_md="Job `publish`: commits the audited staging if its verdict is for exactly this build.",
        )
        build >> gate >> publish
    return group
