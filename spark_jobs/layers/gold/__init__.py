"""Gold: enriched order items, and one row per customer and per product."""
