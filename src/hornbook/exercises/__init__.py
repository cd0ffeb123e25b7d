"""Exercises: what one is, what proves it, and the sources that they come from."""
