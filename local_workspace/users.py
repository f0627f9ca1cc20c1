"""The user of a local workspace: it has one, whose token opens everything."""

USER_NAME = "local@localhost"
