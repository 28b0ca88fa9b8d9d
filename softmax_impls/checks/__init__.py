"""Is it right? An exact oracle, numeric gradients, inputs that break kernels, and the gate that uses them."""
