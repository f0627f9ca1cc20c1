"""Measurements of the product, and of the same raw-to-gold work by the plain alternatives that a user would weigh."""
