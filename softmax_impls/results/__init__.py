"""Store results, read the results of asv and pytest-benchmark, and collect all of them in a table."""
