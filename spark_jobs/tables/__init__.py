"""Names and specifications of tables."""
