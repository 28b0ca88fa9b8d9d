"""The implementations: one file each. The file's name is the function's name and the implementation's name.

They compute p (g - Σ p g) for each row. Read them in this order, from the plainest to the fastest: `column_loop`,
`einsum_jacobian`, `row_jacobian`, `closed_form`, `closed_form_vecdot`, `pivoted`, `numba_rows`, `numba_pivoted`,
`numba_simd`. A new file in this folder is found by `softmax_impls.registry`.
"""
