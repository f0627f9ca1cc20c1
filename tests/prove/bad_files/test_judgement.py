"""The judgement that bronze is compared with agrees with the author of the corpus, line by line."""

from __future__ import annotations

import pytest

from tests.prove.bad_files.corpus import JUDGED, JUDGED_UTF8, Judged
from tests.prove.bad_files.judgement import judge_file


@pytest.mark.parametrize(
    ("encoding", "files"), [("windows-1252", JUDGED), ("utf-8", JUDGED_UTF8)], ids=["windows-1252", "utf-8"]
)
def test_the_judgement_gives_the_reasons_written_by_hand(encoding: str, files: list[Judged]) -> None:
    for file in files:
        found = [tuple(line.reasons) for line in judge_file(file.content, b"key", encoding)]
        assert len(found) == len(file.reasons), file.name
        for number, (reasons, expected) in enumerate(zip(found, file.reasons, strict=True), 1):
            if expected[-1:] == ("...",):
                reasons = (*reasons[: len(expected) - 1], "...")
            assert reasons == expected, (file.name, number)
