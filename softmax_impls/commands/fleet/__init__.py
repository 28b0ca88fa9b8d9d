"""Compare implementations on a fleet: on every kind of machine among the workers of a Dask scheduler.

    comparison (here) ── task ──> Dask worker ── order ──> process of its own: checks and measures as `compare` does
                      <─ result ─             <─ messages, a line each ─

A kind is measured by one of its workers, and another worker of the kind goes on if that one dies. A host measures for
one kind at a time, however many workers it has.
"""
