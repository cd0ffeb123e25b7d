"""Lets tests import what stands in for the world: the Hub on loopback, and all that a recipe of full size names."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "sources")]
