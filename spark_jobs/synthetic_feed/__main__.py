"""python -m spark_jobs.synthetic_feed"""

from __future__ import annotations

import sys

from spark_jobs.synthetic_feed.command import main

if __name__ == "__main__":
    sys.exit(main())
