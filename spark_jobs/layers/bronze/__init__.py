"""Bronze: landed lines become typed order items, or lines in quarantine with their reasons."""
