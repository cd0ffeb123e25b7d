"""Score documents with a quality classifier and keep the best."""
