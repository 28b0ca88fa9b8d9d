"""dx = p (g - Σ p g) for each row, where p are the probabilities, g is dL/dp and dx is dL/dlogits.

Each file defines the implementation of the same name, and `softmax_impls.registry` finds a new file. Read the files in
this order:

==================== ===================================================================
column_loop          one column of the Jacobian at a time
row_jacobian         the Jacobian of one row at a time
einsum_jacobian      the Jacobians of all rows at once
closed_form          the formula above
closed_form_vecdot   the same without a (B, D) temporary
pivoted              the same, accurate where a row is saturated (one p near 1)
numba_rows           `closed_form`, compiled
numba_pivoted        `pivoted`, compiled
numba_simd           `pivoted`, compiled to SIMD instructions, with several threads
==================== ===================================================================
"""
