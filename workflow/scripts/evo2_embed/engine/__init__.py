"""Engines: packs in, token embeddings of the layers out. They know nothing of files.

pack             a pack, and what an engine is
stock            Evo2.forward, unchanged: the reference
packed           all segments of a pack in one forward pass, independent of each other
segment_lengths  where segments start and end, from their lengths (no torch)
segments         the same with tensors: token indices and blocks of tokens
filters          the short and medium filters of the Hyena blocks
long_filter      their long filters
states           what a stretch keeps from one of its segments to the next
kv_cache         of this, the keys and values
attention        rotary positions and attention
cascade          which filter a Hyena block has, and the order of its projections
mixing           filters and gates of a Hyena block
scores           log-likelihoods of tokens from logits
blocks           the four kinds of block
kernels          Triton kernels for GPUs
scratch          buffers that are reused
footprint        the memory that a pack needs (no torch)
memory           the memory that is free
check            self-check: packed against stock, with the weights and the device of the job
"""
