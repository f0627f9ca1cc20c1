"""Share settings, operators, the gate and the task group of a layer between the DAG files."""
