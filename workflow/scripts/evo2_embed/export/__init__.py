"""Datasets as files for other programs."""
