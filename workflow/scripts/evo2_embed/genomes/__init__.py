"""The sample sheet and FASTA files: their index, their lines, their bases."""
