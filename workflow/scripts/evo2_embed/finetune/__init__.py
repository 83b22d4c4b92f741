"""The chunks as a training set for Hugging Face `datasets`: `export: finetune`.

settings     defaults and faults of the section `finetune` (imported when the workflow is parsed)
split        chunk tables -> which blocks are for validation; which windows keep away from them
segments     a pack file's segments in the order of their chunks
forms        segments -> rows, packed and padded
export       pack file -> the rows of one shard
dataset      shards -> results/finetune: checked, counted
card         README.md of the set
"""
