"""What the commands do, as Python calls. They are attributes of `softmax_impls`."""
