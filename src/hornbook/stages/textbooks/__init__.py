"""Write textbook pages and keep those whose code runs."""
