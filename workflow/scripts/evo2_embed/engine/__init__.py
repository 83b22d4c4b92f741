"""Engines: packs in, token embeddings of the layers out. They know nothing of files.

pack        the pack, and what an engine is
stock       Evo2.forward, unchanged: the reference
packed      all segments of a pack in one pass, each as if it were alone
segments        where the segments of a pack lie
filters         the short and medium filters of the Hyena blocks
long_filter     the long ones
states          what goes from one piece of a stretch to the next
kv_cache        of these, the keys and values of the past
attention       rotary positions and attention, segment by segment
cascade         which filter a Hyena block has, and how its projections lie
blocks          the four kinds of block
memory          how much memory there is for a pack
check       one engine against the other, on the weights and the device at hand
"""
