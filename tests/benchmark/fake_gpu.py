"""The packed engine with fake tensors: the shapes of a GPU's run, without values.

Fake tensors are on the CPU, but the engine is told that it is on a GPU: PyTorch without CUDA cannot
make fake tensors of a GPU.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from evo2_embed.engine import blocks, packed
from evo2_embed.engine.footprint import Footprint
from evo2_embed.engine.kernels import gate, long, medium, norm, rotary, short
from evo2_embed.engine.pack import Pack
from evo2_embed.engine.segments import Segments
from evo2_embed.model import registry
from evo2_embed.model.import_evo2 import import_evo2
from gpu_counts import ATTENTION, ELEMENTWISE, Counter, Counts, Launch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode


def count(
    name: str,
    lengths: list[int],
    kernels: str,
    fp8: bool = False,
    layers: Sequence[str] = ("norm",),
) -> Counts:
    """Run a pack of segments of these lengths through a model with fake tensors.

    Parameters
    ----------
    name : str
        Name of the model, whose true shapes are used, in bfloat16.
    kernels : {"torch", "triton"}
    fp8 : bool
        Whether the input projections run in FP8.
    layers : sequence of str
        The requested layers; `scores` for log-likelihoods.
    """
    total = sum(lengths)
    pack = Pack(np.full(total, 65, np.uint8), np.concatenate([[0], np.cumsum(lengths)]))
    evo2 = _model(name)
    with FakeTensorMode(allow_non_fake_inputs=True), _Patches() as patches:
        _make_fake(evo2.model, fp8)
        patches.replace(packed, "choose_kernels", lambda *_: kernels)
        engine = packed.PackedEngine(evo2, list(layers))
        _as_on_a_gpu(engine)
        counter = Counter()
        patches.replace(blocks, "attend", _attend(counter))
        for module in (gate, long, medium, norm, rotary, short):
            patches.replace(module, "launch", _note(counter))
        kinds = [_kind(evo2.model.config, index) for index in range(len(engine.blocks))]
        counts = Counts(total, {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)})
        counter.counts = counts
        engine.blocks = [
            counter.within(kind, block) for kind, block in zip(kinds, engine.blocks, strict=True)
        ]
        with counter:
            engine.run(pack)
        counts.peak_bytes = counter.memory.peak
        counts.formula_bytes = engine.footprint.bytes(Segments(pack))
    return counts


class _Patches:
    """Attributes that are replaced within the block."""

    def __init__(self):
        self.before: list[tuple] = []

    def replace(self, owner, name: str, value) -> None:
        self.before.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    def __enter__(self) -> "_Patches":
        self.replace(packed, "free_bytes", lambda device: 10**12)
        return self

    def __exit__(self, *error) -> None:
        for owner, name, value in reversed(self.before):
            setattr(owner, name, value)


def _model(name: str):
    """The model in bfloat16, without values."""
    evo2_models = import_evo2()
    config = evo2_models.dotdict(registry.model_config(name))
    config.use_fp8_input_projections = config.use_flash_attn = False
    with _OnMeta():
        model = evo2_models.StripedHyena(config)
        model.to_bfloat16_except_pr_lc()
    evo2 = evo2_models.Evo2.__new__(evo2_models.Evo2)
    evo2.model = model
    return evo2


_FACTORIES = {torch.empty, torch.zeros, torch.ones, torch.randn, torch.rand, torch.arange}


class _OnMeta(TorchFunctionMode):
    """Tensors are made without values, whatever device is asked for."""

    def __torch_function__(self, function, types, arguments=(), keywords=None):
        keywords = dict(keywords or {})
        if function in (
            torch.empty,
            torch.zeros,
            torch.ones,
            torch.randn,
            torch.rand,
            torch.arange,
        ):
            keywords["device"] = "meta"
        keywords = {key: self._moved(value) for key, value in keywords.items()}
        return function(*map(self._moved, arguments), **keywords)

    def _moved(self, value):
        named = isinstance(value, str) and value.startswith(("cpu", "cuda"))
        return torch.device("meta") if named or isinstance(value, torch.device) else value


def _make_fake(model: torch.nn.Module, fp8: bool) -> None:
    """Replace the parameters by fake ones."""
    for module in model.modules():
        for key, value in module._parameters.items():
            if value is not None:
                fake = torch.empty(value.shape, dtype=value.dtype)
                module._parameters[key] = torch.nn.Parameter(fake, requires_grad=False)
        for key, value in module._buffers.items():
            if value is not None:
                module._buffers[key] = torch.empty(value.shape, dtype=value.dtype)
    for block in model.blocks:
        if fp8 and hasattr(block, "projections"):
            block.config.use_fp8_input_projections = True
            block.projections = _FP8Linear(block.projections.weight)
    model.block_idx_to_device = dict.fromkeys(range(len(model.blocks)), torch.device("cpu"))


class _FP8Linear(torch.nn.Module):
    """What Transformer Engine runs: the input in FP8, and a product of two FP8 matrices."""

    use_fp8_input_projections = True
    bias = None

    def __init__(self, weight: torch.Tensor):
        super().__init__()
        self.weight = weight

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, None]:
        low = x[0].to(torch.float8_e4m3fn)
        weight = self.weight.new_empty(self.weight.shape, dtype=torch.float8_e4m3fn)
        return torch.mm(low, weight.t())[None].to(x.dtype), None


def _as_on_a_gpu(engine: packed.PackedEngine) -> None:
    footprint = Footprint.of_model(
        engine.model.config, engine.layers, 2, "cuda", kernels=engine.kernels
    )
    engine.footprint = footprint
    for block in engine.blocks:
        block.tile = footprint.tile
        if isinstance(block, blocks.HyenaBlock):
            block.mixer.channel_elements = footprint.channel_elements
            for part in (block.mixer.short, block.mixer.inner):
                part.by_convolution = True


def _attend(counter: "Counter") -> Callable:
    """In place of the attention: on a GPU one kernel, for segments of any lengths."""

    def attend(qkv, segments, *_):
        heads, head = qkv.shape[2:]
        pairs = float((segments.lengths.astype(float) ** 2).sum()) / 2  # a causal mask halves them
        moved = 4 * len(qkv) * heads * head * qkv.element_size()
        counter.add(Launch("attention", ATTENTION, moved, 4 * pairs * heads * head, ATTENTION))
        return qkv.new_empty(len(qkv), heads, head)

    return attend


def _note(counter: Counter) -> Callable:
    """In place of the start of Triton's kernels."""

    def launch(kernel, grid, work, *arguments, **constants):
        counter.add(Launch(kernel.__name__, ELEMENTWISE, work.bytes, work.flops, "tf32x3"))

    return launch


def _kind(config: dict, index: int) -> str:
    if index in config["attn_layer_idxs"]:
        return "mha"
    return next(kind for kind in ("hcs", "hcm", "hcl") if index in config[f"{kind}_layer_idxs"])
