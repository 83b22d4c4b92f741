"""Launches of kernels: what they move and compute, noted while PyTorch runs with fake tensors."""

import math
import weakref
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

PRODUCT, ATTENTION, ELEMENTWISE = "product", "attention", "elementwise"
# Operands of fast matrix products start at a multiple of this, and so do their rows or columns.
ALIGNMENT = 16  # bytes
_ARITHMETIC = {torch.float32: "fp32", torch.float8_e4m3fn: "fp8", torch.bfloat16: "bf16"}

_PRODUCTS = {"mm": (0, 1), "addmm": (1, 2), "bmm": (0, 1), "baddbmm": (1, 2), "baddbmm_": (1, 2)}
# The destination is written, and not read; the value is the index of the argument.
_OVERWRITTEN = {"copy_": 0, "fill_": 0, "zero_": 0, "index_fill_": 0}
# Reads as many elements as it writes, wherever they are.
_GATHERS = {"index", "index_select", "embedding"}
_NO_LAUNCH = {
    "empty",
    "empty_strided",
    "new_empty",
    "new_empty_strided",
    "empty_like",
    "lift_fresh",
}


@dataclass(frozen=True)
class Launch:
    """One kernel.

    Attributes
    ----------
    kind : {"product", "attention", "elementwise"}
    bytes : int
        Bytes that are read and written.
    flops : float
    arithmetic : {"bf16", "fp32", "fp8", "attention"}
        How the FLOPs are computed.
    misaligned : tuple of str
        Operands of a product that are not aligned.
    """

    name: str
    kind: str
    bytes: int
    flops: float = 0.0
    arithmetic: str = "fp32"
    misaligned: tuple[str, ...] = ()


@dataclass
class Counts:
    """The launches of a pack, by kind of block."""

    tokens: int
    blocks: dict[str, int]  # number of blocks by kind
    launches: dict[str, list[Launch]] = field(default_factory=lambda: defaultdict(list))
    peak_bytes: int = 0
    formula_bytes: int = 0

    @property
    def all(self) -> list[Launch]:
        """Every launch of the pack."""
        return [launch for part in self.launches.values() for launch in part]

    def bytes_of(self, part: str, kind: str) -> float:
        """Bytes per token and block of launches of a kind in a part of the model."""
        total = sum(launch.bytes for launch in self.launches[part] if launch.kind == kind)
        return total / self.tokens / self.blocks.get(part, 1)

    def flops_of(self, part: str, arithmetic: str) -> float:
        """FLOPs per token and block in a part of the model."""
        launches = self.launches[part]
        total = sum(launch.flops for launch in launches if launch.arithmetic == arithmetic)
        return total / self.tokens / self.blocks.get(part, 1)

    @property
    def elementwise_bytes(self) -> float:
        """Bytes of elementwise traffic per token."""
        return sum(x.bytes for x in self.all if x.kind == ELEMENTWISE) / self.tokens

    @property
    def misaligned(self) -> list[Launch]:
        """Products with an operand that is not aligned."""
        return [launch for launch in self.all if launch.misaligned]


class Memory:
    """Bytes of the fake tensors that are in use, and their peak."""

    def __init__(self):
        self.live: dict[int, int] = defaultdict(int)  # tensors by storage
        self.bytes = self.peak = 0

    def note(self, tensor: torch.Tensor) -> None:
        """A tensor that was made, maybe a view."""
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if not self.live[key]:
            self.bytes += size
            self.peak = max(self.peak, self.bytes)
        self.live[key] += 1
        weakref.finalize(tensor, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self.live[key] -= 1
        if not self.live[key]:
            self.bytes -= size


class Counter(TorchDispatchMode):
    """Notes the launches of all that PyTorch is asked to do with fake tensors."""

    def __init__(self):
        super().__init__()
        self.counts: Counts | None = None
        self.part = "rest"
        self.memory = Memory()

    def within(self, part: str, block: Callable) -> Callable:
        """The block, whose launches are noted as those of this part of the model."""

        def run(*arguments):
            self.part = part
            block(*arguments)
            self.part = "rest"

        return run

    def add(self, launch: Launch) -> None:
        self.counts.launches[self.part].append(launch)

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        keywords = keywords or {}
        result = function(*arguments, **keywords)
        for made in tree_leaves(result):
            if isinstance(made, FakeTensor):
                self.memory.note(made)
        launch = _launch(function, arguments, keywords, result)
        if launch is not None:
            self.add(launch)
        return result


def _launch(function, arguments: tuple, keywords: dict, result) -> Launch | None:
    """What a call launches; None for a view, for an allocation and for work of the host."""
    name = function.overloadpacket.__name__
    made = [each for each in tree_leaves(result) if isinstance(each, FakeTensor)]
    if not made or name in _NO_LAUNCH or not sum(x.numel() for x in made):
        return None
    if function.is_view and _same_storage(arguments[0], made[0]):
        return None
    read = [
        each
        for position, each in enumerate(tree_leaves(list(arguments)))
        if torch.is_tensor(each) and _OVERWRITTEN.get(name) != position
    ]
    if name in _GATHERS:
        written = sum(map(_bytes, made))
        indices = sum(_bytes(each) for each in read[1:])
        return Launch(name, ELEMENTWISE, 2 * written + indices)
    if name in ("index_put_", "_index_put_impl_"):
        return Launch(name, ELEMENTWISE, sum(_bytes(x) for x in read[1:]) + _bytes(read[-1]))
    moved = sum(map(_bytes, [*read, *made]))
    if name in _PRODUCTS:
        return _product(name, arguments, made[0], moved)
    flops = 0.0
    if name == "convolution":
        flops = 2.0 * made[0].numel() * arguments[1].shape[-1]
    return Launch(name, ELEMENTWISE, moved, flops)


def _product(name: str, arguments: tuple, made: torch.Tensor, moved: int) -> Launch:
    left, right = (arguments[index] for index in _PRODUCTS[name])
    operands = {"left": left, "right": right, "output": made}
    misaligned = tuple(which for which, each in operands.items() if not is_aligned(each))
    return Launch(
        f"{name} {_text(left)} x {_text(right)}",
        PRODUCT,
        moved,
        2.0 * made.numel() * left.shape[-1],
        _ARITHMETIC[left.dtype],
        misaligned,
    )


def is_aligned(operand: torch.Tensor) -> bool:
    """Whether a matrix (or a batch of them) and its rows or columns start at multiples of 16 bytes,
    and one of its last two dimensions is contiguous."""
    size, strides = operand.element_size(), operand.stride()
    lead = [
        stride
        for stride, length in zip(strides, operand.shape, strict=True)
        if stride != 1 and length > 1
    ]
    contiguous = 1 in strides[-2:] or operand.shape[-1] == 1
    starts = [operand.storage_offset(), *lead]
    return contiguous and all(start * size % ALIGNMENT == 0 for start in starts)


def _same_storage(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.untyped_storage()._cdata == other.untyped_storage()._cdata


def _bytes(tensor: torch.Tensor) -> int:
    """Bytes of the different elements of a tensor; an expanded dimension repeats elements."""
    lengths = [
        length
        for length, stride in zip(tensor.shape, tensor.stride(), strict=True)
        if stride != 0 or length == 1
    ]
    return math.prod(lengths) * tensor.element_size()


def _text(operand: torch.Tensor) -> str:
    return "x".join(map(str, operand.shape))
