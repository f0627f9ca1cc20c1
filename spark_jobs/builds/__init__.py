"""The task `build` of each layer: reads published versions, writes staging (design, section 2)."""
