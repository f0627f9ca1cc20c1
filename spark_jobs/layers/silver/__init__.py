"""Silver (design, section 6): order items as they stand now, and the history of customers and products."""
