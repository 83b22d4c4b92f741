"""Chunk table and FASTA to pack files: which stretches run in which pack."""
