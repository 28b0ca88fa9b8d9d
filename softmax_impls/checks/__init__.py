"""Is an implementation right? Inputs, exact and numeric gradients, error bounds, and the gate that uses them."""
