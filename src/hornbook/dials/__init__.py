"""Dials of quality: the faults of raw code that the paper names, put into good records one at a time, with proof."""

from hornbook.dials.dial import Candidate, Dial, Donors
from hornbook.dials.table import DIALS

__all__ = ["DIALS", "Candidate", "Dial", "Donors"]
