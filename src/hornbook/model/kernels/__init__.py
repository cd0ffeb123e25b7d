"""Attention, loss and fused layers of the decoder."""
