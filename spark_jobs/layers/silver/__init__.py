"""Silver: the newest delivery of each order item, and the history of customers and products."""
