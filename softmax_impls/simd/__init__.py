"""What numba_simd is made of."""
