"""Programs that fill the landing volume: the synthetic feed, and the replay of one big file."""
