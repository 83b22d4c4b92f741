"""The KV cache: keys and values of a stretch's tokens, kept for its later segments."""

from collections.abc import Iterator

import torch

from evo2_embed.engine.footprint import KV_TILE, KVCacheOptions

_LARGEST = 127  # of int8


class KVCache:
    """Keys and values of one stretch in one block.

    Parameters
    ----------
    tokens : int
        Tokens of the stretch.
    like : Tensor, (n, 3, heads, head_dim)
        Queries, keys and values of a segment.
    options : KVCacheOptions

    Attributes
    ----------
    values : Tensor, (2, heads, tokens, head_dim)
        Keys and values, in the model's type, bfloat16 or int8.
    scales : Tensor of float32 or None, (2, heads, tokens, 1)
        What int8 values are multiplied by.
    """

    def __init__(self, tokens: int, like: torch.Tensor, options: KVCacheOptions):
        _, _, heads, size = like.shape
        self.device, self.dtype = like.device, like.dtype
        dtype = {"model": like.dtype, "bf16": torch.bfloat16, "int8": torch.int8}[options.type]
        device = torch.device("cpu") if options.device == "host" else like.device
        memory = {"device": device, "pin_memory": device != like.device}
        self.values = torch.empty(2, heads, tokens, size, dtype=dtype, **memory)
        self.scales = None
        if dtype == torch.int8:
            self.scales = torch.empty(2, heads, tokens, 1, dtype=torch.float32, **memory)

    def put(self, first: int, kv: torch.Tensor) -> None:
        """Store keys and values (n, 2, heads, head_dim) of the stretch's tokens from `first` on."""
        kv = kv.permute(1, 2, 0, 3)  # (2, heads, n, head_dim)
        tokens = slice(first, first + kv.shape[2])
        if self.scales is not None:
            scales = kv.abs().amax(-1, keepdim=True).float() / _LARGEST  # (2, heads, n, 1)
            kv = torch.round(kv / scales.clamp(min=torch.finfo(torch.float32).tiny))
            self.scales[:, :, tokens] = scales
        self.values[:, :, tokens] = kv

    def tiles(self, tokens: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Keys and values of the first `tokens` tokens, tile by tile, on the device and in the type
        of the model: (1, heads, t, head_dim) each.

        Tiles are used even if the cache is on the device in the model's type: PyTorch's kernel for
        CPUs copies the keys if there are many queries.
        """
        for first in range(0, tokens, KV_TILE):
            tile = slice(first, min(first + KV_TILE, tokens))
            values = self.values[:, :, tile].to(self.device, non_blocking=True)
            if self.scales is not None:
                scales = self.scales[:, :, tile].to(self.device, non_blocking=True)
                values = values.float().mul_(scales)
            keys, values = values.to(self.dtype)[:, None]  # (1, heads, t, head_dim) each
            yield keys, values
