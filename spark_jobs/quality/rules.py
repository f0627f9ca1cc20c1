"""The rules of `gx/rules/`: one file per table, read strictly, since a rule that is not understood must not pass."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from spark_jobs.quality.row_suite import row_rules
from spark_jobs.runtime.errors import LakehouseError

SEVERITIES = ("critical", "warning")
LANDING_DATE = "landing_date"
# Values of these columns never leave the tables.
PRIVATE = frozenset(
    {
        "customer_email",
        "customer_email_hash",
        "customer_password",
        "customer_fname",
        "customer_lname",
        "customer_firstname",
        "customer_lastname",
        "customer_street",
        "customer_zipcode",
        "order_zipcode",
        "store_street",
        "delivery_zipcode",
        "latitude",
        "longitude",
        "line",
    }
)
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_COMMENT = re.compile(r"--[^\n]*")
_LITERAL = re.compile(r"'(?:[^'\\]|\\.)*'")
_SOURCE = re.compile(r"(?<!DISTINCT )\b(?:FROM|JOIN)\s+([A-Za-z_]\w*)", re.IGNORECASE)
_SUBQUERY = re.compile(r"\b([A-Za-z_]\w*)\s+AS\s*\(", re.IGNORECASE)
_PARAMETER = re.compile(r"(?P<kept>'(?:[^'\\]|\\.)*'|--[^\n]*)|(?<![:\w]):(?P<name>[A-Za-z_]\w*)")


def with_parameters(sql: str, literal: Callable[[str], str]) -> str:
    """Replace each parameter in `sql` by its literal."""
    return _PARAMETER.sub(lambda found: found["kept"] or literal(found["name"]), sql)


def parameters_of(sql: str) -> set[str]:
    """Return the names of the parameters in `sql`, such as `:most`."""
    return {found["name"] for found in _PARAMETER.finditer(sql) if found["name"]}


class RulesRefused(LakehouseError):
    """A rule file that nothing can be judged by: the gate fails closed."""


@dataclass(frozen=True)
class Rule:
    """One rule: `fails_when` is a predicate over the columns of its evidence, true (or NULL) for a bad row."""

    name: str
    evidence: str
    fails_when: str
    severity: str
    says: str
    shows: tuple[str, ...] = ()
    """Columns of the evidence that a finding shows beside the evidence's own samples."""
    compares: tuple[str, ...] = ()
    """Two structs of the evidence, expected and stored: a finding shows the fields in which they differ."""
    may_be_overruled: bool = False
    """Whether a person may publish a build all the same where this critical rule is broken."""
    alert: bool = False
    """Whether a finding is sent to people, although it is a warning. Every critical one is."""


@dataclass(frozen=True)
class Evidence:
    """A query over named inputs, whose rows the rules judge."""

    name: str
    grain: str
    sql: str
    samples: tuple[str, ...]
    """Columns by which a bad row is recognised; findings are grouped by `landing_date` where it is one of them."""
    judges_empty_change: bool = False

    @property
    def inputs(self) -> frozenset[str]:
        """Names of the inputs that it reads."""
        text = _LITERAL.sub("''", _COMMENT.sub("", self.sql))
        return frozenset(_SOURCE.findall(text)) - frozenset(_SUBQUERY.findall(text))

    @property
    def is_dated(self) -> bool:
        return LANDING_DATE in self.samples


@dataclass(frozen=True)
class RuleFile:
    """What must hold for one table."""

    table: str
    about: str
    parameters: dict[str, Any]
    evidence: dict[str, Evidence]
    rules: tuple[Rule, ...]

    @property
    def short_name(self) -> str:
        """The table's name without its schema."""
        return self.table.partition(".")[2]

    def rules_of(self, evidence: str) -> tuple[Rule, ...]:
        return tuple(rule for rule in self.rules if rule.evidence == evidence)


@dataclass(frozen=True)
class LayerRules:
    """The rule files of a layer's tables, and why others are refused, by table."""

    files: tuple[RuleFile, ...]
    refused: dict[str, str] = field(default_factory=dict)

    def only(self, tables: Sequence[str]) -> LayerRules:
        """Keep the rule files of some tables."""
        return replace(self, files=tuple(file for file in self.files if file.table in tables))

    @property
    def parameters(self) -> dict[str, Any]:
        """The defaults of all files; None for what each run gives."""
        return {name: value for file in self.files for name, value in file.parameters.items()}


def layer_rules(layer: str, tables: Sequence[str], folder: Traversable | None = None) -> LayerRules:
    """Read the rules of each of the layer's tables, found by the table's name: `gx/rules/<table>.yml`.

    `tables` are all of the layer. `folder` is `gx/`, unless given.
    """
    folder = folder or files("gx")
    read: list[RuleFile] = []
    refused: dict[str, str] = {}
    defaults: dict[str, Any] = {}
    for table in tables:
        try:
            file = read_rules(table, folder)
            for name, default in file.parameters.items():
                if defaults.setdefault(name, default) != default:
                    raise RulesRefused(f"gx/rules/{table}.yml: another file has another default of {name}")
            read.append(file)
        except RulesRefused as error:
            refused[table] = str(error)
    known = {f"{table}.yml" for table in tables}
    for name in _names(layer, folder):
        if name not in known:
            refused[name.removesuffix(".yml")] = f"gx/rules/{name} is about no table of {layer}"
    return LayerRules(tuple(read), refused)


def read_rules(table: str, folder: Traversable | None = None) -> RuleFile:
    """Read the rules of one table. Raises RulesRefused, with the file and what is wrong with it."""
    folder = folder or files("gx")
    name = f"gx/rules/{table}.yml"
    file = folder.joinpath("rules", f"{table}.yml")
    if not file.is_file():
        raise RulesRefused(f"{name} is missing: no rule says what must hold for {table}")
    try:
        return _rule_file(table, _yaml(file.read_text(encoding="utf-8")), folder)
    except ValueError as error:
        raise RulesRefused(f"{name}: {error}") from None


def rules_hash(layer: str, folder: Traversable | None = None) -> str:
    """Return sha256 (hex) over the names and bytes of the layer's rule files, and of the suites that judge single
    rows."""
    folder = folder or files("gx")
    paths = [("rules", name) for name in _names(layer, folder)]
    if layer == "bronze":
        paths += [("suites", name) for name in sorted(f.name for f in folder.joinpath("suites").iterdir())]
    digest = hashlib.sha256()
    for path in paths:
        content = folder.joinpath(*path).read_bytes()
        digest.update(f"{'/'.join(path)}\n{len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def _names(layer: str, folder: Traversable) -> list[str]:
    rules = folder.joinpath("rules")
    found = [file.name for file in rules.iterdir()] if rules.is_dir() else []
    return sorted(name for name in found if name.startswith(f"{layer}.") and name.endswith(".yml"))


def _yaml(text: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise ValueError(f"it is not YAML: {' '.join(str(error).split())}") from None


def _rule_file(table: str, content: Any, folder: Traversable) -> RuleFile:
    fields = _fields(content, "the file", ("table", "about", "evidence", "rules"), ("parameters", "suite"))
    if fields["table"] != table:
        raise ValueError(f"it is about {fields['table']!r}, and its name says {table}")
    if not isinstance(fields["evidence"], Mapping) or not isinstance(fields["rules"], list):
        raise ValueError("evidence must be a mapping by name, and rules a list")
    parameters = fields.get("parameters") or {}
    if not isinstance(parameters, Mapping):
        raise ValueError("parameters must be a mapping of names to defaults")
    evidence = {name: _evidence(name, one) for name, one in fields["evidence"].items()}
    rules = [_rule(one) for one in fields["rules"]]
    if suite := fields.get("suite"):
        rules += [Rule(**one) for one in row_rules(str(suite), folder)]
    if not rules:
        raise ValueError("it holds no rule, and would pass whatever the data")
    file = RuleFile(table, _text(fields, "about", "the file"), dict(parameters), evidence, tuple(rules))
    _check(file)
    return file


def _check(file: RuleFile) -> None:
    names = [rule.name for rule in file.rules]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two rules are named {', '.join(repeated)}")
    if unknown := [rule.name for rule in file.rules if rule.evidence not in file.evidence]:
        raise ValueError(f"the evidence of rule {unknown[0]} is not in the file")
    if unused := sorted(set(file.evidence) - {rule.evidence for rule in file.rules}):
        raise ValueError(f"no rule judges the evidence {', '.join(unused)}")
    texts = [*(one.sql for one in file.evidence.values()), *(rule.fails_when for rule in file.rules)]
    used = set().union(*map(parameters_of, texts))
    if undeclared := sorted(used - set(file.parameters)):
        raise ValueError(f"parameters has no {', '.join(undeclared)}")
    if idle := sorted(set(file.parameters) - used):
        raise ValueError(f"no rule uses the parameter {', '.join(idle)}")


def _evidence(name: Any, content: Any) -> Evidence:
    where = f"evidence {name}"
    fields = _fields(content, where, ("grain", "samples", "sql"), ("judges_empty_change",))
    return Evidence(
        _name(name, where),
        _text(fields, "grain", where),
        _text(fields, "sql", where),
        _columns(fields, "samples", where),
        _flag(fields, "judges_empty_change", where),
    )


def _rule(content: Any) -> Rule:
    where = f"rule {content.get('name')}" if isinstance(content, Mapping) else f"the rule {content!r}"
    optional = ("shows", "compares", "may_be_overruled", "alert")
    fields = _fields(content, where, ("name", "evidence", "fails_when", "severity", "says"), optional)
    if fields["severity"] not in SEVERITIES:
        raise ValueError(f"{where}: severity is {fields['severity']!r}, and must be {' or '.join(SEVERITIES)}")
    may_be_overruled, alert = _flag(fields, "may_be_overruled", where), _flag(fields, "alert", where)
    structs = _structs(fields, where)
    if may_be_overruled and fields["severity"] != "critical":
        raise ValueError(f"{where}: a warning blocks nothing, so there is nothing that may_be_overruled could allow")
    if may_be_overruled and structs:
        raise ValueError(f"{where}: it compares rows with what they must be, and nobody may overrule that")
    if alert and fields["severity"] != "warning":
        raise ValueError(f"{where}: every critical finding is sent to people: alert is for warnings")
    return Rule(
        _name(fields["name"], where),
        _text(fields, "evidence", where),
        _text(fields, "fails_when", where),
        fields["severity"],
        _text(fields, "says", where),
        _columns(fields, "shows", where),
        structs,
        may_be_overruled,
        alert,
    )


def _structs(fields: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """Return the two structs that a rule compares, or none."""
    structs = fields.get("compares", [])
    is_path = re.compile(rf"{_NAME.pattern}(\.{_NAME.pattern})*").fullmatch
    if not isinstance(structs, list) or len(structs) not in (0, 2) or not all(is_path(str(one)) for one in structs):
        raise ValueError(f"{where}: compares must be two structs of its evidence, such as [expected, stored]")
    return tuple(structs)


def _fields(content: Any, where: str, needed: Sequence[str], optional: Sequence[str]) -> Mapping[str, Any]:
    if not isinstance(content, Mapping):
        raise ValueError(f"{where} must be a mapping with {', '.join(needed)}")
    if missing := [name for name in needed if name not in content]:
        raise ValueError(f"{where} has no {', '.join(missing)}")
    if unknown := sorted(str(name) for name in content if name not in (*needed, *optional)):
        raise ValueError(f"{where} has {', '.join(unknown)}, which is not known")
    return content


def _flag(fields: Mapping[str, Any], name: str, where: str) -> bool:
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise ValueError(f"{where}: {name} is true or false")
    return value


def _name(value: Any, where: str) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(f"{where}: its name must be snake_case")
    return value


def _text(fields: Mapping[str, Any], name: str, where: str) -> str:
    value = fields[name]
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{where}: {name} must be a text (in quotes, where YAML reads something else)")
    return value.strip()


def _columns(fields: Mapping[str, Any], name: str, where: str) -> tuple[str, ...]:
    columns = fields.get(name, [])
    if not isinstance(columns, list) or not all(isinstance(c, str) and _NAME.fullmatch(c) for c in columns):
        raise ValueError(f"{where}: {name} must be a list of columns")
    if private := sorted(PRIVATE & set(columns)):
        raise ValueError(f"{where}: {name} has {', '.join(private)}, which is private and never shown")
    return tuple(columns)
