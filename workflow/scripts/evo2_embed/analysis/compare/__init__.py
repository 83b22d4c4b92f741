"""Comparison of an extraction's layers without labels.

`control` packs shuffled windows, `measures` has functions of arrays, `layers` writes the result.
"""
