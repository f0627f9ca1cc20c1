"""A rule file is read strictly: whatever is missing, unknown or unused is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from spark_jobs.layers.bronze.bronze_tables import ORDER_ITEMS
from spark_jobs.layers.registry import tables_of
from spark_jobs.quality.rules import LayerRules, RulesRefused, layer_rules, read_rules, rules_hash
from spark_jobs.runtime.table_names import LAYERS

RULE = {
    "name": "few",
    "evidence": "rows",
    "fails_when": "n > :most",
    "severity": "critical",
    "says": "There are few.",
}
FILE = {
    "table": "gold.numbers",
    "about": "Numbers.",
    "parameters": {"most": 5},
    "evidence": {"rows": {"grain": "one row per number", "samples": ["n"], "sql": "SELECT n FROM numbers"}},
    "rules": [RULE],
}


def written(folder: Path, content: Any, table: str = "gold.numbers") -> Path:
    (folder / "rules").mkdir(exist_ok=True)
    with (folder / "rules" / f"{table}.yml").open("w", encoding="utf-8") as file:
        YAML(typ="safe").dump(content, file)
    return folder


def rules_of(folder: Path, *tables: str) -> LayerRules:
    return layer_rules("gold", tables or ("gold.numbers",), folder)


def test_a_file_is_read_as_written(tmp_path: Path) -> None:
    file = read_rules("gold.numbers", written(tmp_path, FILE))
    assert (file.short_name, file.parameters) == ("numbers", {"most": 5})
    (rule,) = file.rules_of("rows")
    assert (rule.name, rule.fails_when, rule.severity) == ("few", "n > :most", "critical")
    assert file.evidence["rows"].inputs == {"numbers"}


def without(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda content: {key: value for key, value in content.items() if key != name}


def rule(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda content: {**content, "rules": [{**RULE, **changes}]}


def evidence(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    def changed(content: dict[str, Any]) -> Any:
        return {**content, "evidence": {"rows": {**content["evidence"]["rows"], **changes}}}

    return changed


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda _: None, "must be a mapping"),
        (lambda _: [], "must be a mapping"),
        (lambda c: {**c, "rules": []}, "holds no rule"),
        (lambda c: {**c, "rules": {}}, "rules a list"),
        (lambda c: {**c, "ruls": []}, "has ruls, which is not known"),
        (lambda c: {**c, "table": "gold.others"}, "is about 'gold.others'"),
        (without("rules"), "has no rules"),
        (without("evidence"), "has no evidence"),
        (without("about"), "has no about"),
        (without("parameters"), "parameters has no most"),
        (lambda c: {**c, "parameters": {"most": 5, "least": 1}}, "no rule uses the parameter least"),
        (lambda c: {**c, "parameters": ["most"]}, "parameters must be a mapping"),
        (lambda c: {**c, "rules": [RULE, RULE]}, "two rules are named few"),
        (lambda c: {**c, "rules": [without("severity")(RULE)]}, "rule few has no severity"),
        (lambda c: {**c, "rules": [without("says")(RULE)]}, "rule few has no says"),
        (rule(severity="fatal"), "severity is 'fatal', and must be critical or warning"),
        (rule(evidence="others"), "the evidence of rule few is not in the file"),
        (rule(name="Few"), "snake_case"),
        (rule(fails_when=True), "fails_when must be a text"),
        (rule(says=" "), "says must be a text"),
        (rule(shows=["customer_zipcode"]), "private"),
        (rule(shows="n"), "list of columns"),
        (rule(fails_when="n > :least"), "parameters has no least"),
        (rule(mostly=0.9), "has mostly, which is not known"),
        (rule(may_be_overruled="yes"), "may_be_overruled is true or false"),
        (rule(may_be_overruled=True, severity="warning"), "a warning blocks nothing"),
        (rule(may_be_overruled=True, compares=["expected", "stored"]), "nobody may overrule that"),
        (rule(alert="yes"), "alert is true or false"),
        (rule(alert=True), "alert is for warnings"),
        (evidence(samples=["line"]), "private"),
        (evidence(judges_empty_change="yes"), "true or false"),
        (evidence(sql=""), "sql must be a text"),
        (
            lambda c: {**c, "evidence": {**c["evidence"], "idle": c["evidence"]["rows"]}},
            "no rule judges the evidence idle",
        ),
        (lambda c: {**c, "suite": "rows"}, "gx/suites/rows.json is missing"),
    ],
)
def test_what_nothing_can_be_judged_by_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any], reason: str
) -> None:
    folder = written(tmp_path, change(FILE))
    with pytest.raises(RulesRefused, match=r"gx/rules/gold\.numbers\.yml") as refused:
        read_rules("gold.numbers", folder)
    assert reason in str(refused.value)


@pytest.mark.parametrize("text", ["", "a: [", "a: 1\na: 2\n"])
def test_what_is_no_yaml_is_refused(tmp_path: Path, text: str) -> None:
    written(tmp_path, FILE)
    (tmp_path / "rules" / "gold.numbers.yml").write_text(text)
    with pytest.raises(RulesRefused):
        read_rules("gold.numbers", tmp_path)


def test_a_table_without_a_file_is_refused(tmp_path: Path) -> None:
    rules = rules_of(written(tmp_path, FILE), "gold.numbers", "gold.letters")
    assert [file.table for file in rules.files] == ["gold.numbers"]
    assert "gx/rules/gold.letters.yml is missing" in rules.refused["gold.letters"]


def test_a_file_without_a_table_is_refused(tmp_path: Path) -> None:
    rules = rules_of(written(tmp_path, {**FILE, "table": "gold.old"}, "gold.old"))
    assert "about no table of gold" in rules.refused["gold.old"]


def test_two_defaults_of_one_parameter_are_refused(tmp_path: Path) -> None:
    written(tmp_path, FILE)
    written(tmp_path, {**FILE, "table": "gold.others", "parameters": {"most": 6}}, "gold.others")
    rules = rules_of(tmp_path, "gold.numbers", "gold.others")
    assert "another default of most" in rules.refused["gold.others"]


@pytest.mark.parametrize(
    ("sql", "inputs"),
    [
        ("SELECT a FROM one JOIN two USING (a)", {"one", "two"}),
        ("WITH mine AS (SELECT * FROM one) SELECT a FROM mine", {"one"}),
        ("SELECT a -- FROM nowhere\nFROM one WHERE b = ' FROM nowhere'", {"one"}),
        ("SELECT a IS DISTINCT FROM b FROM (SELECT * FROM one)", {"one"}),
        ("SELECT 1", set()),
    ],
)
def test_inputs_are_what_the_query_reads(tmp_path: Path, sql: str, inputs: set[str]) -> None:
    file = read_rules("gold.numbers", written(tmp_path, evidence(sql=sql)(FILE)))
    assert file.evidence["rows"].inputs == inputs


@pytest.mark.parametrize("layer", LAYERS)
def test_every_table_of_the_project_has_its_rules(layer: str) -> None:
    rules = layer_rules(layer, [spec.name for spec in tables_of(layer)])
    assert rules.refused == {}
    assert sorted(file.table for file in rules.files) == sorted([spec.name for spec in tables_of(layer)])
    for file in rules.files:
        for one in file.rules:
            assert one.says[0].isupper(), one
            assert one.says.endswith("."), one


def test_people_may_overrule_shares_and_volumes_and_nothing_else() -> None:
    """Never conservation, keys, schema or money between layers: add a rule here only if a person can know better."""
    files = [file for layer in LAYERS for file in layer_rules(layer, [spec.name for spec in tables_of(layer)]).files]
    assert {rule.name for file in files for rule in file.rules if rule.may_be_overruled} == {
        "few_lines_are_quarantined",
        "few_lines_of_a_small_date_are_quarantined",
        "a_date_lands_again_with_enough_lines",
        "critical_metrics_lie_in_their_bands",
    }


def test_the_schema_that_the_rule_names_is_that_of_bronze() -> None:
    (schema,) = (one for one in read_rules("bronze.order_items").rules if one.evidence == "schema")
    named = "".join(schema.fails_when.split())
    assert ",".join(f"{f.name}:{f.dataType.simpleString()}" for f in ORDER_ITEMS.schema.fields) in named
    assert len(ORDER_ITEMS.schema.fields) == 61


def test_the_hash_changes_with_every_file(tmp_path: Path) -> None:
    (tmp_path / "suites").mkdir()
    suite = tmp_path / "suites" / "rows.json"
    seen = set()
    for change in (
        lambda: written(tmp_path, FILE),
        lambda: written(tmp_path, {**FILE, "about": "Other numbers."}),
        lambda: written(tmp_path, FILE, "gold.others"),
    ):
        change()
        seen.add(rules_hash("gold", tmp_path))
    assert len(seen) == 3
    suite.write_text("{}")
    before = rules_hash("gold", tmp_path), rules_hash("bronze", tmp_path)
    suite.write_text("{ }")
    assert rules_hash("gold", tmp_path) == before[0]
    assert rules_hash("bronze", tmp_path) != before[1]
