"""The same raw-to-gold work by the plain alternatives a user would weigh, to measure beside the product."""
