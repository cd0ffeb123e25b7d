"""Which documents are copies of which: sketches, pairs that meet, clusters, and who is kept; all in files."""
