"""How a stream of landed files is asked for. Auto Loader itself exists on Databricks only."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import pytest

from spark_jobs.runtime.errors import ParameterRefused
from spark_jobs.storage.landed_text import stream_lines


class Loaded(Exception):
    """The stream is asked for."""


class Reader:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.source, self.given, self.columns = "", dict[str, str](), list[str]()

    @property
    def readStream(self) -> Self:  # noqa: N802 - as PySpark has it
        return self

    def format(self, source: str) -> Self:
        self.source = source
        return self

    def options(self, **options: str) -> Self:
        self.given = options
        return self

    def schema(self, schema: Any) -> Self:
        self.columns = schema.names
        return self

    def load(self, path: str) -> None:
        raise Loaded(path)


AUTO_LOADER = {"cloudFiles.format": "text", "cloudFiles.schemaEvolutionMode": "none"}


@pytest.mark.parametrize(
    ("setting", "source", "options"),
    [
        ("false", "text", {}),
        ("true", "cloudFiles", AUTO_LOADER),
        ("events", "cloudFiles", {**AUTO_LOADER, "cloudFiles.useManagedFileEvents": "true"}),
    ],
)
def test_files_are_found_as_the_setting_says(setting: str, source: str, options: dict[str, str]) -> None:
    reader: Any = Reader()
    with pytest.raises(Loaded, match=r"^/landing/dt=\*/\*\.csv$"):
        stream_lines(reader, Path("/landing"), setting)
    assert (reader.source, reader.given, reader.columns) == (source, options, ["value"])


def test_another_setting_is_refused() -> None:
    reader: Any = Reader()
    with pytest.raises(ParameterRefused, match="auto_loader is 'yes': one of false, true, events"):
        stream_lines(reader, Path("/landing"), "yes")
