"""The sample sheet; FASTA files: their index, their lines, their bases; files of regions and of
variants.

From a file of regions to the regions of its genome:

region_formats   the format, by the first lines
region_readers   a reader per format: BED, TSV, GFF3 and GTF
intervals        lines and cells of BED and GFF
attributes       the last column of GFF3 and GTF
splice           exons of a transcript
region_lists     regions in columns
regions          reads a file, once per version
fit              checks regions against the records of the FASTA file

From a file of variants:

variant_sample   its kind, and the sites in its first bytes, before a run
variants         all variants, through htslib
"""
