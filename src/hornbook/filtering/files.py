"""What judge and filter write beside their shards."""

from pathlib import Path

from hornbook.core.shards import shard_name

JUDGE = "judge.safetensors"
TRUST = "trust.json"
"""How a score was made and, where it was learnt, how far it can be trusted."""
LABELLED = Path("labelled") / shard_name(0)
"""A row a labelled document: its label, whether that counts as good, the score it got out of fold, and its facts."""
MATRIX = "labelled.safetensors"
"""Their features, in the same order."""
THRESHOLD = "threshold.json"
QUALITY = "quality.json"
"""All that the report tells of a filter."""
