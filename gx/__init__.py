"""Great Expectations' own files: suites and checkpoints as JSON, the only place where a rule about data is written."""
