"""The command line of the feed, and the entry point of the job task, with the same options."""

from __future__ import annotations

import argparse
import logging
import sys
from datetime import date
from pathlib import Path
from typing import NoReturn

from feeds.synthetic.feed import FeedResult, generate
from feeds.synthetic.feed_settings import FAULTS, INCIDENTS, FeedSettings
from spark_jobs.runtime.errors import LakehouseError, ParameterRefused
from spark_jobs.runtime.interval import Interval
from spark_jobs.runtime.task_log import log_to_stdout

log = logging.getLogger(__name__)


class _Parser(argparse.ArgumentParser):
    """Raises ParameterRefused instead of ending the process: a job task must not exit by itself."""

    def error(self, message: str) -> NoReturn:
        raise ParameterRefused(f"{message}\n{self.format_usage().rstrip()}")


def run(arguments: list[str]) -> FeedResult:
    """Generate the feed that the options ask for. Raises ParameterRefused and LandingRefused."""
    parser = _Parser(
        prog="python -m feeds.synthetic",
        description="Generates landing folders of invented orders in the exact shape of the source.",
        allow_abbrev=False,
    )
    parser.add_argument("--landing", type=Path, required=True, help="the landing root to deliver to")
    parser.add_argument("--start", required=True, help="the first day, such as 2018-01-01")
    span = parser.add_mutually_exclusive_group(required=True)
    span.add_argument("--days", type=int, help="how many days")
    span.add_argument("--end", help="or the day after the last one; both may be instants, which count in UTC")
    parser.add_argument("--scale", default="1", help="multiples of the source's daily volume (default: %(default)s)")
    parser.add_argument("--seed", default="7", help="the feed's random seed (default: %(default)s)")
    helps = {
        "late": "share of orders that come days late",
        "repeated": "share of lines that occur twice in their file",
        "corrupt": "share of lines with a wrong value",
        "malformed": "share of lines that cannot be split into 53 fields",
        "missing": "share of lines without the name of their department",
    }
    for name in FAULTS:
        parser.add_argument(f"--{name}", default="0", help=f"{helps[name]}, 0 to 1 (default: %(default)s)")
    parser.add_argument(
        "--incidents",
        default="",
        help=f"incidents, separated by commas, such as fewer_orders=2018-03-01/2018-03-07: {', '.join(INCIDENTS)}",
    )
    parser.add_argument("--truth", type=Path, help="where the truth files go (default: _truth in the landing root)")
    parser.add_argument("--processes", type=int, help="default: as many as are worth it, up to one per processor")
    options = parser.parse_args(arguments)
    if options.end:
        interval = Interval.parse(options.start, options.end)
        start, days = interval.start, (interval.end - interval.start).days
    else:
        start, days = _date(options.start), options.days
    shares = {name: getattr(options, name) for name in FAULTS}
    settings = FeedSettings.parse(options.seed, options.scale, options.incidents, **shares)
    return generate(options.landing, start, days, settings, truth=options.truth, processes=options.processes)


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ParameterRefused(f"the first day is {text!r}, which is not a date such as 2018-01-31") from None


def synthetic_feed() -> None:
    """Run the job task, as its entry point."""
    log_to_stdout("feeds")
    log.info("%s", run(sys.argv[1:]))


def main() -> int:
    """Run the command line."""
    try:
        print(run(sys.argv[1:]))
    except (LakehouseError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0
