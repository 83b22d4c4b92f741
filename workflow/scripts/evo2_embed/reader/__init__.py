"""Reads datasets in notebooks and scripts. It needs numpy, pyarrow and polars only."""
