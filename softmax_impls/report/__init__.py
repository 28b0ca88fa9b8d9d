"""Show it: tables for a terminal, and pictures."""
