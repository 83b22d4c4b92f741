"""FASTA to a chunk table: windows, the stretches they form, and measures of each window."""
