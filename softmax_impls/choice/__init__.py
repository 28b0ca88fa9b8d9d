"""Which one? Results on disk, and what they say."""
