"""Which implementation to use: rank cells, answer for a shape, predict times between measured shapes."""
