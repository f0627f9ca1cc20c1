"""Settings of the DAGs on one machine."""

DAG_SETTINGS = {
    "LAKEHOUSE_SCHEDULE_END": "2018-02-01",
    "LAKEHOUSE_LANDING_RETRIES": "1",
    "LAKEHOUSE_LANDING_RETRY_DELAY": "10",
    "LAKEHOUSE_RETRIES": "4",
    "LAKEHOUSE_RETRY_DELAY": "5",
    "LAKEHOUSE_POLL_SECONDS": "0.3",
}
"""What differs from the DAGs' own defaults unless it is set: a person waits, and the data set has ended.

Four retries, 5, 10, 20 and 40 seconds apart, outlast a restart of services, and a disk that is full for a while.
"""
