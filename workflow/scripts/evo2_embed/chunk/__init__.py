"""FASTA files to chunk tables.

chunk_table  a bundle's genomes to its chunk table
windows      the windows of a contig
stretches    windows to stretches
measures     shares and checksums of windows
"""
