"""Turn raw code into textbook-quality data, train a small code model on it, and prove whether it paid off."""

__version__ = "0.1.0"
