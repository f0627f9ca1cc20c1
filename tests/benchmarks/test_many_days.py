"""What grows with the days is named."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.many_days import Footprint, growth, heap_used

FIRST = Footprint(20, 400.0, 300, 120, 90.0, 40, 20, 8)
PARALLEL_GC = """4242:
 PSYoungGen      total 611840K, used 1000K [0x1, 0x2, 0x3)
  eden space 524800K, 0% used [0x1,0x2,0x3)
 ParOldGen       total 1398272K, used 2000K [0x1, 0x2, 0x3)
  object space 1398272K, 1% used [0x1,0x2,0x3)
 Metaspace       used 210000K, committed 212000K, reserved 1245184K
"""


def test_the_heap_is_what_the_generations_use() -> None:
    assert heap_used(PARALLEL_GC) == 3.1


def test_only_what_grows_is_named() -> None:
    steady = replace(FIRST, days=200, spark_heap_mb=430.0, spark_files=309, workspace_mb=91.0)
    assert growth(FIRST, steady) == []
    grown = replace(steady, spark_heap_mb=450.0, workspace_files=80)
    assert [line.partition(":")[0] for line in growth(FIRST, grown)] == ["spark_heap_mb", "workspace_files"]
