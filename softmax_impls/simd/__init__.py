"""The parts of the kernel numba_simd and of the forward pass: vectors, passes over a row, rows, columns, and threads.

The kernel computes p (h - Σ p h) for each row, where h = g + c and -c is g at the row's largest p, as in
`softmax_impls.backward.pivoted`. Where c = 0 is accurate enough, the kernel uses c = 0 and saves a pass over the row.
Read `sizes` (the tunable numbers), `vectors` (operations on 64 bytes), `passes` (over a row), `rows` and `small_rows`
(the order of the passes), `pool` (a call, and the threads that share it), `tasks` (calls on rows) and `parts` (threads
share a row), then `columns` (arrays whose classes are not on the last axis) and `forward` (the forward pass). `jit`,
`lean`, `operators` and `lowering` state how Numba compiles these functions, `objects` keeps machine code in files, and
`arrays` states how Python calls machine code with NumPy arrays.

A long row takes two or three passes. The first pass waits for memory; the others read the row from the cache. So rows
are pipelined: each step reduces a row and writes the row before it::

    step                        0         1         2         3
    reduce: read from memory    row 0     row 1     row 2                max p, g at max p, Σ p g
    shifted_dot: from cache     (row 0)   (row 1)   (row 2)              only where Σ p g lost its accuracy
    write: read from cache                row 0     row 1     row 2      p ((g + c) - Σ p h)

In a step, loads of the reduced row and stores of the written row alternate, so the processor waits for neither. If the
beginning of a row contains a p above ½, Σ p g will probably lose its accuracy. Then reduce ends early, and shifted_dot
follows. Calls that move more than `sizes.NONTEMPORAL_FROM` bytes use non-temporal stores, prefetch p and g, and always
reduce whole rows. The order in which a sum is computed depends on the length of the row, and on the number of threads
if several threads share the row. It does not depend on addresses. With non-temporal stores, a row whose beginning has a
p above ½ may keep c = 0, so its result may differ in the last bits.
"""
