"""Compare implementations on a fleet: on every kind of machine among the workers of a Dask scheduler.

    comparison (here) ── task ──> Dask worker ── order ──> measuring process: checks and measures as `compare` does
                      <─ result ─             <─ messages, a line each ─

One worker of each kind measures. If it dies, another worker of the kind continues. A host measures for one kind at a
time, even if it has several workers.
"""
