"""Lets tests, and the processes they start, import what stands in for the world from support/, and bench/."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE / "support"), str(HERE.parent / "bench")]
