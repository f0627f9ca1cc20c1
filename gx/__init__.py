"""The rules: what must hold for each table (rules/), and what makes a landed line valid (suites/)."""
