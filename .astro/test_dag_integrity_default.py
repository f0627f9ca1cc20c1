"""What `astro dev parse` and `astro deploy` run: every DAG file can be read."""

from pathlib import Path

from airflow.dag_processing.dagbag import DagBag

DAGS = Path(__file__).resolve().parents[1] / "dags"


def test_every_dag_file_can_be_read() -> None:
    bag = DagBag(str(DAGS))
    assert bag.import_errors == {}
    expected = ["ecommerce_medallion", "ecommerce_medallion_live", "lakehouse_maintenance", "synthetic_feed"]
    assert sorted(bag.dags) == expected
