"""Remove what overlaps with benchmarks."""
