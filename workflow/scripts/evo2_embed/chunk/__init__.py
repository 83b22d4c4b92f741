"""FASTA files to chunk tables.

chunk_table  a bundle's genomes to its chunk table
windows      the windows of a contig
regions      the windows of a contig if each region is one
variants     the windows of the variants of a contig, in pairs
variant_rows their chunks, and the check of reference alleles
cut_variants the windows of the variants of a genome
scan         the variants of a saturation scan
work         what the genomes of a bundle share
stretches    windows to stretches
measures     shares and checksums of windows
"""
