"""Comparison of an extraction's layers without labels.

`control` makes shuffled windows, `measures` are functions of arrays, `layers` puts both to use.
"""
