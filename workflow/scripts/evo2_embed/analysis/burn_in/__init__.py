"""Burn-in: how embeddings change with upstream context, measured on one contig of the run.

`limits` has the size of a measurement (light), `stretches` says which bases run, `packs` writes
their pack file, `curves` has functions of arrays, `measure` writes the result.
"""
