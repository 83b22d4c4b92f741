"""The KV cache: what is stored comes back, tile by tile, and the next tile comes meanwhile."""

from contextlib import nullcontext

import pytest
import torch
from evo2_embed.engine import kv_cache
from evo2_embed.engine.footprint import KVCacheOptions
from evo2_embed.engine.kv_cache import KVCache

HEADS, SIZE = 2, 4


def filled(tokens, segments, options):
    """A cache that was filled in segments of these lengths, and what was stored."""
    kv = torch.randn(tokens, 2, HEADS, SIZE, generator=torch.Generator().manual_seed(0))
    cache, first = KVCache(tokens, kv.new_empty(1, 3, HEADS, SIZE), options), 0
    for length in segments:
        cache.put(first, kv[first : first + length])
        first += length
    return cache, kv


@pytest.mark.parametrize("segments", [[20], [7, 7, 6], [1, 13, 6], [6, 2, 6, 6]])
@pytest.mark.parametrize(("kind", "most"), [("model", 0), ("bf16", 2**-8), ("int8", 1 / 250)])
def test_what_is_stored_comes_back_in_tiles(monkeypatch, segments, kind, most):
    monkeypatch.setattr(kv_cache, "KV_TILE", 7)
    cache, kv = filled(20, segments, KVCacheOptions(kind))
    for tokens in (1, 6, 7, 8, 14, 20):
        tiles = list(cache.tiles(tokens))
        assert [keys.shape[2] for keys, _ in tiles] == [
            min(7, tokens - first) for first in range(0, tokens, 7)
        ]
        for part, index in ((0, 0), (1, 1)):
            found = torch.cat([tile[part][0] for tile in tiles], 1).transpose(0, 1)
            wanted = kv[:tokens, index]
            largest = wanted.abs().amax(-1, keepdim=True)
            assert ((found - wanted).abs() <= most * largest).all()


def test_the_next_tile_comes_while_one_is_in_use(monkeypatch):
    monkeypatch.setattr(kv_cache, "KV_TILE", 7)
    cache, _ = filled(20, [20], KVCacheOptions())
    events = []

    class Stream:
        def __init__(self, name):
            self.name = name

        def wait_stream(self, other):
            events.append(f"{self.name} waits for {other.name}")

    cache.stream, computing = Stream("copies"), Stream("attention")
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: computing)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda *_: events.append("kept"))
    for _ in cache.tiles(20):
        events.append("used")
    fetched, arrived = "copies waits for attention", ["attention waits for copies", "kept"]
    assert events == [
        fetched,
        *[*arrived, fetched, "used"],
        *[*arrived, fetched, "used"],
        *[*arrived, "used"],
    ]
