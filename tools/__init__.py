"""Programs for those who develop the project; no part of the product runs them."""
