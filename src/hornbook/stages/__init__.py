"""The stages: a folder is a chapter of the paper, a file with `run` is a step."""
