"""The report and everything that reads a finished run."""
