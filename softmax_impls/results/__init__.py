"""Results: store them, read the results of asv and pytest-benchmark, and put all of them into one table."""
