"""Heads: what was learned from the vectors of a layer, applied to every row of it."""
