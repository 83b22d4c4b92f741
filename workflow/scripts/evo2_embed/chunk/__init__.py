"""FASTA files to chunk tables.

chunk_table  a bundle's genomes to its chunk table
windows      the windows of a contig
regions      the windows of a contig if each region is one
stretches    windows to stretches
measures     shares and checksums of windows
"""
