"""The quality filter's statistics: features, the forest, and how far its scores can be trusted."""
