"""How long does it take? Workloads, the measurement of a cell, statistics, and the records of results."""
