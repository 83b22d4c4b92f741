"""The KV cache: keys and values of a stretch's tokens, kept for its later segments and forks."""

from collections.abc import Iterator

import torch

from evo2_embed.engine.footprint import KV_TILE, KVCacheOptions

_LARGEST = 127  # of int8


class KVCache:
    """Keys and values of one stretch in one block, in tiles of `KV_TILE` tokens.

    A tile has its tokens one after the other, so any part of it is one block of memory: copies
    between host and device need no other copy on the way.

    Parameters
    ----------
    tokens : int
        Tokens of the stretch that it has room for, without those of `earlier`.
    like : Tensor, (n, 3, heads, head_dim)
        Queries, keys and values of a segment.
    options : KVCacheOptions
    earlier : KVCache, optional
        The cache of the parent of a fork. It is read, and never changed.
    shared : int
        The first tokens of the stretch, which are in `earlier`.

    Attributes
    ----------
    values : list of Tensor, (t, 2, heads, head_dim) each
        Keys and values, in the model's type, bfloat16 or int8.
    scales : list of Tensor of float32, (t, 2, heads, 1) each
        What int8 values are multiplied by; empty for other types.
    """

    def __init__(
        self,
        tokens: int,
        like: torch.Tensor,
        options: KVCacheOptions,
        earlier: "KVCache | None" = None,
        shared: int = 0,
    ):
        self.earlier, self.shared = earlier, shared
        _, _, heads, size = like.shape
        self.device, self.dtype = like.device, like.dtype
        dtype = {"model": like.dtype, "bf16": torch.bfloat16, "int8": torch.int8}[options.type]
        device = torch.device("cpu") if options.device == "host" else like.device
        memory = {"device": device, "pin_memory": device != like.device}
        tiles = [min(KV_TILE, tokens - first) for first in range(0, tokens, KV_TILE)]
        self.values = [torch.empty(t, 2, heads, size, dtype=dtype, **memory) for t in tiles]
        self.scales = []
        if dtype == torch.int8:
            scale = {"dtype": torch.float32, **memory}
            self.scales = [torch.empty(t, 2, heads, 1, **scale) for t in tiles]
        # The next tile comes from the host on a stream of its own, while one is in use.
        self.stream = torch.cuda.Stream(like.device) if memory["pin_memory"] else None

    def put(self, first: int, kv: torch.Tensor) -> None:
        """Store keys and values (n, 2, heads, head_dim) of the stretch's tokens from `first` on."""
        first -= self.shared
        if self.scales:
            scales = kv.abs().amax(-1, keepdim=True).float() / _LARGEST  # (n, 2, heads, 1)
            kv = torch.round(kv / scales.clamp(min=torch.finfo(torch.float32).tiny))
            self._store(self.scales, first, scales)
        self._store(self.values, first, kv)

    def _store(self, tiles: list[torch.Tensor], first: int, values: torch.Tensor) -> None:
        values = values.to(tiles[0].dtype).contiguous()
        while len(values):
            start = first % KV_TILE
            tile = tiles[first // KV_TILE][start : start + len(values)]
            tile.copy_(values[: len(tile)], non_blocking=True)
            first, values = first + len(tile), values[len(tile) :]

    def tiles(self, tokens: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Keys and values of the first `tokens` tokens, tile by tile, on the device and in the type
        of the model: (1, heads, t, head_dim) each.

        Tiles are used even if the cache is on the device in the model's type: PyTorch's kernel for
        CPUs copies the keys if there are many queries.
        """
        if self.earlier is not None:
            yield from self.earlier.tiles(self.shared)
            tokens -= self.shared
        coming = self._fetch(0, tokens)
        for first in range(0, tokens, KV_TILE):
            values, *scales = self._arrived(coming)
            if first + KV_TILE < tokens:
                coming = self._fetch(first + KV_TILE, tokens)
            for scale in scales:
                values = values.float().mul_(scale)
            keys, values = values.to(self.dtype).permute(1, 2, 0, 3)[:, None]
            yield keys, values

    def _fetch(self, first: int, tokens: int) -> list[torch.Tensor]:
        """A tile's values, and scales if there are any, on their way to the device."""
        parts = [
            tiles[first // KV_TILE][: tokens - first]
            for tiles in (self.values, self.scales)
            if tiles
        ]
        if self.stream is None:
            return parts
        # What was stored last is copied by the stream that computes.
        self.stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self.stream):
            return [part.to(self.device, non_blocking=True) for part in parts]

    def _arrived(self, parts: list[torch.Tensor]) -> list[torch.Tensor]:
        if self.stream is not None:
            computing = torch.cuda.current_stream(self.device)
            computing.wait_stream(self.stream)
            for part in parts:
                part.record_stream(computing)  # its memory is not used again before that
        return parts
