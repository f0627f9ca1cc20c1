"""Health check of the Airflow containers: `healthy.py scheduler` asks the API server about that component.

One request costs a fraction of what starting Airflow's own command line does. Components are those of
`/api/v2/monitor/health`: metadatabase, scheduler, triggerer, dag_processor. Exits with 1 unless it is healthy.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from urllib.parse import urlsplit


def main() -> int:
    component = sys.argv[1]
    server = urlsplit(os.environ["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"])
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{server.scheme}://{server.netloc}/api/v2/monitor/health", timeout=10) as answer:
        status = json.load(answer)[component]["status"]
    print(f"{component}: {status}")
    return 0 if status == "healthy" else 1


if __name__ == "__main__":
    sys.exit(main())
