"""Ask a teacher to judge a sample of documents."""
