"""Read documents from files, repositories, datasets and dumps."""
