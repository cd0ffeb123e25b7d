"""The filter's parts: settings, the table of feature sets, what labels teach, one document explained."""
