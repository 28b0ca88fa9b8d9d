"""Which implementation to use: rank cells, answer for a shape, interpolate between measured shapes."""
