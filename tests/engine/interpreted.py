"""The Triton kernels in Triton's interpreter, compared with PyTorch: by case, how far, as JSON.

A process of its own, run by `test_kernels.py`: Triton reads `TRITON_INTERPRET` when it is imported.
"""

import json
import sys
import time
from types import SimpleNamespace

import numpy as np
import torch

WIDTH, GROUPS = 8, 2
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
TAPS = {"hcs": 7, "hcm": 128, "hcl": 0}
# Around the borders of filters, blocks of tokens, programs, and of 16 blocks at once.
EDGES = [1, 2, 3, 6, 7, 8, 9, 63, 64, 65, 126, 127, 128, 129, 130, 255, 256, 257]
LONG = [1023, 3000, 1, 1025, 40]
# By type, which segments of which lengths.
CASES = {
    "fp32": [("edges", "alone"), ("edges", "carried"), ("long", "carried")],
    "bf16": [("edges", "alone"), ("edges", "carried")],
    "fp16": [("edges", "carried")],
}


def once(function):
    """Let the interpreter prepare Triton's own functions once, not for every call (5 ms)."""
    prepared = set()

    def call(self, *arguments, **keywords):
        if self.fn.__module__ not in prepared:
            function(self.fn)
            prepared.add(self.fn.__module__)
        return self.rewrite()(*arguments, **keywords)

    return call


def with_index(function):
    """Let the interpreter take a tensor as the end of a range: triton 3.3 fails with numpy 2."""

    def patch(tensor, *arguments):
        function(tensor, *arguments)
        tensor.__index__ = lambda self: int(self.handle.data.squeeze())

    return patch


def make_cascade(kind, generator, bias):
    """A Hyena cascade with random filters, as vortex's module has them."""

    def random(*shape):
        return torch.randn(shape, generator=generator)

    config = SimpleNamespace(interleave=True)
    return SimpleNamespace(
        config=config,
        column_split_hyena=False,
        hyena_flip_x1x2=False,
        num_attention_heads=2,
        short_filter_weight=random(3 * WIDTH, 1, 3),
        short_filter_bias=random(3 * WIDTH) if bias else None,
        fir_inner_filter_length=TAPS[kind],
        h=random(GROUPS, 1, TAPS[kind]) / 3 if TAPS[kind] else None,
        D=random(WIDTH),
        log_poles=-(torch.rand(WIDTH, 16, 1, generator=generator) ** 4),
        residues=random(WIDTH, 16) / 4,
    )


def make_pack(lengths, how):
    """Segments of these lengths; if carried, every second one continues a stretch, the stretch of
    every third one continues, and forks begin after tokens of every block of the longer ones."""
    number = np.arange(len(lengths))
    offset, remaining = np.where(number % 2, 500, 0), np.where(number % 3, 0, 500)
    ends = np.concatenate([[0], np.cumsum(lengths)])
    tokens = np.zeros(ends[-1], np.uint8)
    if how != "carried":
        return Pack(tokens, ends)
    points = [
        (row, offset[row] + point, 1)
        for row, length in enumerate(lengths)
        for point in (1, 2, 5, 6, 63, 64, 65, 127, 128, 200, 1023, 1024, 1025)
        if point <= length
    ]
    return Pack(tokens, ends, 0, number, offset, remaining, forks=np.array(points))


def run(mixer, z, segments, before, tile):
    """y (D, T) of a mixer for projections z (3 D, T), and the states after."""
    state = BlockState(before, segments)
    x = torch.empty(z.shape[1], WIDTH, dtype=z.dtype)

    def tiles():
        last = z.new_zeros(len(z), mixer.prefix)
        for start in range(0, len(x), tile):
            values = torch.cat([last, z[:, start : start + tile]], 1)
            pitched = values.new_empty(len(z), pitch_of(values.shape[1]))
            pitched[:, : values.shape[1]] = values
            last = values[:, values.shape[1] - mixer.prefix :]
            yield start, min(start + tile, len(x)), pitched[:, : values.shape[1]]

    y = torch.cat([part.clone() for _, _, part in mixer(tiles(), x, segments, state)], 1)
    return [y, *(value for after in state.after for _, value in sorted(after.items()))]


def states_before(kind, segments, dtype, generator):
    """Random states of the segments that continue a stretch."""
    shapes = {"z": (3 * WIDTH, 2), "u": (WIDTH, TAPS[kind] - 1), "modes": (WIDTH, 16)}
    names = ("z", "u") if TAPS[kind] else ("z", "modes")
    types = {"z": dtype, "u": dtype, "modes": torch.float64}
    return [
        {name: torch.randn(shapes[name], generator=generator).to(types[name]) for name in names}
        for _ in segments.continued
    ]


def worst(wanted, found, dtype):
    """Of several tensors, the largest difference relative to the largest value, and the root mean
    square of the differences relative to that of the values, in units of the type's precision."""
    eps, far = torch.finfo(dtype).eps, []
    for one, other in zip(wanted, found, strict=True):
        one, other = one.double(), other.double()
        difference = one - other
        rms = (difference.square().mean() / one.square().mean()).sqrt()
        far.append([float(difference.abs().max() / one.abs().max() / eps), float(rms / eps)])
    return np.max(far, 0).tolist()


def round_to_nearest(values, from_type, to_type, _):
    """In place of the interpreter's conversion, which cuts off: as GPUs convert bfloat16."""
    if to_type == tl.float32:
        return (values.astype(np.uint32) << 16).view(np.float32)
    rounded = torch.from_numpy(np.ascontiguousarray(values)).to(torch.bfloat16)
    return rounded.view(torch.int16).numpy().view(np.uint16)


def mixers():
    """Cases of the filters and gates."""
    for kind in TAPS:
        for type_name, dtype in TYPES.items():
            generator = torch.Generator().manual_seed(len(kind) + len(type_name))
            cascade = make_cascade(kind, generator, type_name != "fp32")
            if cascade.short_filter_bias is not None:
                cascade.short_filter_bias = cascade.short_filter_bias.to(dtype)
            for where, how in CASES[type_name]:
                segments = Segments(make_pack({"edges": EDGES, "long": LONG}[where], how))
                z = torch.randn(3 * WIDTH, segments.total, generator=generator).to(dtype)
                before = states_before(kind, segments, dtype, generator)
                tile = 100 if where == "edges" and type_name == "bf16" else 10**6
                results = [
                    run(each(cascade, WIDTH, Scratch(), 2**19), z, segments, before, tile)
                    for each in (Mixer, TritonMixer)
                ]
                yield f"{kind} {type_name} {where} {how}", worst(*results, dtype)


def others():
    """Cases of the norm and the rotary positions."""
    for type_name, dtype in TYPES.items():
        generator = torch.Generator().manual_seed(1)
        block = Block.__new__(Block)
        for width in (128, 100):
            x, added = (torch.randn(70, width, generator=generator).to(dtype) for _ in range(2))
            scale = torch.randn(width, generator=generator).to(dtype)
            module = SimpleNamespace(use_flash_rmsnorm=False, scale=scale, eps=1e-6)
            results = []
            for kernels in ("torch", "triton"):
                block.kernels, block.scratch, block.width = kernels, Scratch(), width
                mine = x.clone()
                first = block.norm(module, mine).clone()
                results.append([first, block.norm(module, mine, added), mine])
            yield f"norm {type_name} {width}", worst(*results, dtype)
        qkv = torch.randn(37, 3, 3, 24, generator=generator).to(dtype)
        angle = torch.rand(37, 1, 1, 12, generator=generator) * 7
        found, wanted = qkv.clone(), qkv.clone()
        rotary.rotate(found[:, :2], angle.cos(), angle.sin())
        rotate(wanted[:, :2], angle.cos(), angle.sin())
        assert torch.equal(found[:, 2], qkv[:, 2])  # values are not rotated
        yield f"rotary {type_name}", worst([wanted], [found], dtype)


def whole():
    """The engine with all kernels against `Evo2.forward`: four blocks of the bundled model, one of
    each kind. The distance is in units of what rounding allows."""
    gate.CHANNELS = short.CHANNELS = 128
    config = registry.model_config(registry.TINY) | {"num_layers": 4, "attn_layer_idxs": [3]}
    config |= {f"{kind}_layer_idxs": [index] for index, kind in enumerate(TAPS)}
    evo2 = build_model(config, save_weights(config, sys.argv[1]), "fp32", "it")
    layers = [layer for layer in registry.widths_of(config) if "mlp" not in layer]
    segments = random_segments([130, 1, 65])
    pack = pack_of(segments)
    wanted, exact = (each_alone(model, pack, layers) for model in (evo2, in_float64(evo2)))
    bounds = bounds_of(wanted, exact)
    engine = PackedEngine(evo2, layers, kernels="triton")
    assert {type(block.mixer) for block in engine.blocks if hasattr(block, "mixer")} == {
        TritonMixer
    }
    assert PackedEngine(evo2, layers[:1]).kernels == "torch"
    yield "engine", max(excess(engine.run(pack), wanted, bounds).values())
    found = run_packs(engine, packs_of(segments[0], [70, 3, 57]))
    wanted = {layer: values[: len(segments[0])] for layer, values in wanted.items()}
    yield "engine, stretch", max(excess(found, wanted, bounds).values())
    # A fork of the first segment is what follows in it, so both together give the same.
    tokens = segments[0]
    found = run_stretches(engine, [tokens[:90], tokens[63:]], 70, 80, [None, (0, 63)])
    found = {layer: torch.cat([x[:63], x[90:]]) for layer, x in found.items()}
    yield "engine, fork", max(excess(found, wanted, bounds).values())


if __name__ == "__main__":
    from evo2_embed.engine.attention import rotate
    from evo2_embed.engine.blocks import Block
    from evo2_embed.engine.kernels import gate, rotary, short
    from evo2_embed.engine.kernels.mixing import TritonMixer
    from evo2_embed.engine.mixing import Mixer
    from evo2_embed.engine.pack import Pack
    from evo2_embed.engine.packed import PackedEngine
    from evo2_embed.engine.scratch import Scratch, pitch_of
    from evo2_embed.engine.segments import Segments
    from evo2_embed.engine.states import BlockState
    from evo2_embed.model import registry
    from evo2_embed.model.loading import build_model
    from stock import (
        bounds_of,
        each_alone,
        excess,
        in_float64,
        packs_of,
        random_segments,
        run_packs,
        run_stretches,
        save_weights,
    )
    from stock import make_pack as pack_of
    from triton import language as tl
    from triton.runtime import interpreter

    torch.set_num_threads(1)
    interpreter.InterpretedFunction.__call__ = once(interpreter._patch_lang)
    interpreter._patch_lang_tensor = with_index(interpreter._patch_lang_tensor)
    interpreter._convert_float = round_to_nearest
    options = interpreter.InterpreterOptions(sanitize_overflow=False)
    interpreter.interpreter_builder.options = options
    # Fewer and larger programs: in the interpreter each costs milliseconds.
    gate.CHANNELS = short.CHANNELS = WIDTH
    short.TOKENS_WITH_HISTORY = 128
    found = {}
    for cases in (mixers(), others(), whole()):
        found.update(cases)
        print(cases.__name__, time.process_time(), file=sys.stderr)
    print(json.dumps(found))
