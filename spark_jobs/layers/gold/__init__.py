"""Gold (design, section 7): order items with their context, and one row a customer and a product."""
