"""Programming tasks made without a teacher: the grammar and functions mined from a corpus."""
