"""Remove exact and near duplicates."""
