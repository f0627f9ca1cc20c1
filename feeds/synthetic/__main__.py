"""python -m feeds.synthetic"""

from __future__ import annotations

import sys

from feeds.synthetic.command import main

if __name__ == "__main__":
    sys.exit(main())
