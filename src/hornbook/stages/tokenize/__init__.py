"""Train a tokenizer and pack token sequences."""
