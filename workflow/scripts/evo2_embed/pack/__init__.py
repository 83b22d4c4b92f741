"""Chunk tables and FASTA files to pack files.

pack_shard  the stretches of a shard
assign      stretches to packs, whole or in segments
rows        the rows of a pack file
write       a pack file with its metadata
metadata    what the metadata hold
read        reading pack files
"""
