"""The demo: a whole stack, 1,000 notifications over four channels, and proof that each arrived exactly once."""
