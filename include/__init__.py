"""What the DAG files share: settings, the layer's task group, its operators and the gate (design, section 1)."""
