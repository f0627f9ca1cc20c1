"""What tables and source files look like: specifications of tables, and columns, dates and blanks of the source."""
