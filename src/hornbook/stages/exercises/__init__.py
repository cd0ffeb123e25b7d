"""Make exercises: docstring, solution and tests."""
