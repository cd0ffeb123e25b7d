"""Lets the tests of this folder, and the processes they start, import scripts.py beside them."""
