"""The task group of a layer: build, gate, publish (design, section 2)."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Asset, TaskGroup

from include.gate import AuditGate
from include.operators import JobRunOperator, PublishOperator
from include.settings import SETTINGS, Settings

PUBLISHED_TABLES: dict[str, tuple[str, ...]] = {
    "bronze": ("order_items", "quarantine", "landed_files"),
    "silver": ("orders", "dim_customers", "dim_products"),
    "gold": ("orders_enriched", "customers360", "product_totals", "products360"),
}

INTERVAL = {
    "interval_start": "{{ data_interval_start.in_timezone('UTC').isoformat() }}",
    "interval_end": "{{ data_interval_end.in_timezone('UTC').isoformat() }}",
}


def published_assets(layer: str, settings: Settings = SETTINGS) -> dict[str, Asset]:
    """The Airflow assets of a layer's published tables, by `<layer>.<table>`."""
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
    """Build and audit into staging, ask the gate, publish."""
    build_run = f"{{{{ ti.xcom_pull(task_ids='{layer}.build', key='run_id') }}}}"
    verdict = f"ti.xcom_pull(task_ids='{layer}.gate')"
    parameters: dict[str, Any] = dict(INTERVAL)
    if settings.allow_missing_dates:
        parameters["allow_missing_dates"] = "true"
    with TaskGroup(group_id=layer, tooltip=f"Build, audit and publish the {layer} layer") as group:
        build = JobRunOperator(
            task_id="build",
            job=f"{layer}_build",
            job_parameters=parameters,
            execution_timeout=settings.task_timeout,
            settings=settings,
            doc_md=f"Job `{layer}_build`: builds {layer} into staging and audits it there. Publishes nothing.",
        )
        gate = AuditGate(
            task_id="gate",
            layer=layer,
            build_job_run_id=build_run,
            settings=settings,
            doc_md="Reads the verdict of that build. No: fails for good. Links: *Verdict*, *Data Docs*.",
        )
        publish = PublishOperator(
            task_id="publish",
            layer=layer,
            published=published_assets(layer, settings),
            job_parameters={
                "layer": layer,
                "build_job_run_id": build_run,
                "build_id": f"{{{{ {verdict}['build_id'] }}}}",
                "fingerprint": f"{{{{ {verdict}['fingerprint'] }}}}",
            },
            execution_timeout=settings.task_timeout,
            settings=settings,
            doc_md="Job `publish`: commits the audited staging, if its verdict is for exactly this build.",
        )
        build >> gate >> publish
    return group
