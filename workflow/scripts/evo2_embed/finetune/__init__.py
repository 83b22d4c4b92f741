"""The chunks as a training set for Hugging Face `datasets`: `export: finetune`.

split        chunk tables -> validation blocks, and windows too close to them
segments     a pack file's segments in the order of their chunks
forms        segments -> rows, packed and padded
export       pack file -> the rows of one shard
dataset      shards -> results/finetune: checked and counted
card         README.md of the training set
"""
