"""Burn-in: how embeddings change with the context before them, measured on a contig of the run.

`places` says which bases run (light), `packs` writes their pack file, `curves` are functions of
arrays, `measure` puts them to use.
"""
