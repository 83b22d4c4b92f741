"""How much memory a pack needs beside the weights, and how much there is."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import torch

from evo2_embed.engines.filters import channels_at_once
from evo2_embed.engines.segments import Segments

# Of the memory that is free, what a pack may take: the allocator needs some for itself.
SHARE = 0.9


@dataclass(frozen=True)
class Footprint:
    """What the memory of a pack depends on.

    Attributes
    ----------
    width, inner, head : int
        Of the residual stream (D), of the MLP (I) and of an attention head.
    outputs : int
        Widths of the layers that are asked for, together.
    itemsize : int
        Bytes of a number of the model's type (e).
    tile : int
        Tokens that token-by-token work takes at once (t).
    channel_elements, channel_step : int
        Numbers that the medium and long filters take at once, and the fewest channels.
    """

    width: int
    inner: int
    head: int
    outputs: int
    itemsize: int
    tile: int
    channel_elements: int
    channel_step: int

    def bytes(self, segments: Segments) -> int:
        """Peak of a pack, in bytes, weights left out.

        Held all the time, for T tokens, tiles of t tokens, and C channels of A tokens (of whole
        blocks) in the medium and long filters:

        - T (64 + (4 D + outputs) e): token ids and places; the residual stream, what mixes along
          the sequence (3 D), and the layers asked for;
        - t ((7 D + 2 I) e + 16 D): a tile's norm, projections, filtered projections, MLP;
        - 16 C A: what the medium filter spreads, and its sum, in float32;
        - the rotary positions of the longest segment, as vortex keeps them and in float32.

        Beside that the largest of

        - a tile's projections, gates and taps in another type, where the model is not float32;
        - 12 C A: the medium and long filters' input, states and output;
        - attention: its output; where the segments are not of one length, for one batch of them the
          output again, and where those are not of one length, or not neighbours, queries, keys and
          values as well, all filled up to the longest segment, and the output without what fills
          up.
        """
        tokens, width, size = segments.total, self.width, self.itemsize
        tile = min(self.tile, tokens)
        block = segments.block_size()
        aligned = int((-(-segments.lengths // block) * block).sum())
        channels = channels_at_once(self.channel_elements, aligned, self.channel_step)
        filtered = min(channels, width) * aligned
        held = (
            tokens * (64 + (4 * width + self.outputs) * size)
            + tile * ((7 * width + 2 * self.inner) * size + 16 * width)
            + 16 * filtered
            + segments.longest * self.head * (size + 4)
        )
        converted = 0 if size == 4 else tile * width * (20 + 3 * size)
        return held + max(converted, 12 * filtered, _attended(segments) * width * size)


def _attended(segments: Segments) -> int:
    """Vectors that the attention makes beside its input."""
    if segments.uniform:
        return segments.total
    lengths = segments.lengths
    largest = max(
        int(lengths[members].sum())
        if segments.is_batch(members)
        else 5 * len(members) * int(lengths[members].max())
        for members in segments.batches()
    )
    return segments.total + largest


def free_bytes(device: torch.device) -> int:
    """Memory that a pack may take on a device."""
    if device.type == "cuda":
        reusable = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(SHARE * (torch.cuda.mem_get_info(device)[0] + reusable))
    return int(SHARE * free_host_bytes())


def free_host_bytes() -> int:
    """Memory that is free in the machine or, where that is less, in the control group of this
    process (a SLURM job's, for one)."""
    groups = Path("/proc/self/cgroup")
    lines = groups.read_text().splitlines() if groups.exists() else []
    return int(min(psutil.virtual_memory().available, free_in_control_groups(lines)))


def free_in_control_groups(lines: list[str], root: Path = Path("/sys/fs/cgroup")) -> float:
    """Bytes left in the memory control groups of a process; infinity where none has a limit.

    Parameters
    ----------
    lines : list of str
        Of `/proc/self/cgroup`: number, controllers (none in version 2) and path.
    root : Path
        Where control groups are mounted.
    """
    free = np.inf
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, names = root, ("memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            base, names = root / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")
        else:
            continue
        folder = base / path.lstrip("/")
        groups = [folder, *(parent for parent in folder.parents if parent.is_relative_to(base))]
        free = min(free, *(_limit_left(group, names) for group in groups))
    return free


def _limit_left(group: Path, names: tuple[str, str]) -> float:
    try:
        limit, used = ((group / name).read_text().strip() for name in names)
        cache = _reclaimable(group)
    except OSError:
        return np.inf
    return np.inf if limit == "max" else max(0, int(limit) - int(used) + cache)


def _reclaimable(group: Path) -> int:
    """File pages of a control group, which the kernel gives up when memory is wanted."""
    fields = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    return int(fields.get("inactive_file", 0)) + int(fields.get("active_file", 0))


def gib(count: int) -> str:
    """Bytes as GiB, for a message."""
    return f"{count / 2**30:.2f} GiB"
