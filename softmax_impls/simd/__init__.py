"""The parts of the kernel numba_simd and of the forward pass: vectors, passes over a row, rows, columns, and threads.

The kernel computes p (h - Σ p h) for each row, where h = g + c and -c is g at the row's largest p, as in
`softmax_impls.backward.pivoted`. Where c = 0 is accurate enough, it saves the pass that computes the shifted sum.
Read `sizes` (the tunable numbers), `vectors` (operations on 64 bytes), `passes` (over a row), `rows` (the order of the
passes), `pool` (a call, and the threads that share it), `tasks` (calls on rows) and `parts` (threads share a row), then
`columns` (the classes on another axis) and `forward` (the forward pass). `jit`, `lean` and `lowering` state how Numba
compiles it all, `objects` how machine code is kept, and `arrays` how Python calls it with NumPy arrays.

A long row takes two or three passes. The first pass waits for memory; the others read the row from the cache. So rows
are pipelined: each step reduces a row and writes the row before it::

    step                        0         1         2         3
    reduce: read from memory    row 0     row 1     row 2                max p, g there, Σ p g
    shifted_dot: from cache     (row 0)   (row 1)   (row 2)              only where Σ p g lost its accuracy
    write: read from cache                row 0     row 1     row 2      p ((g + c) - Σ p h)

In a step, loads of the reduced row and stores of the written row alternate, so the processor waits for neither. Where
the beginning of a row shows that Σ p g will lose its accuracy (a p above ½), its reduce ends there. Calls that the
last-level cache does not hold use non-temporal stores, prefetch p and g, and always reduce whole rows. The order of a
sum depends on the length of the row alone, neither on addresses nor on the kind of stores.
"""
