"""Everything that touches Delta tables, the landing volume or the ops volume."""
