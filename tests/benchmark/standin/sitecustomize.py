"""A model that costs nothing, for `tests/benchmark/scale.py`.

Once `evo2_embed.embed.run_packs` has been imported, its model, engine and pooling are replaced:
every chunk gets a random vector as wide as the layer. The rest of an embedding job is the real one.
"""

from after_import import AfterImport


def replace(run_packs) -> None:
    """Put the costless model into the module that runs packs."""
    import numpy as np
    import torch
    from evo2_embed.model.registry import layer_widths, model_config

    class NullEngine:
        """Vectors of chunks, (segments, width), where an engine has those of tokens."""

        def __init__(self, name, layers, keeping):
            widths = layer_widths(name)
            self.widths = {layer: widths[layer] for layer in layers}
            self.rng = np.random.default_rng(0)

        def run(self, pack):
            segments = len(pack.cu_seqlens) - 1
            return {
                layer: torch.from_numpy(self.rng.standard_normal((segments, width), np.float32))
                for layer, width in self.widths.items()
            }

    def check_engine(engine, evo2, layers, precision, forks=False):
        return {"segments": [], "tolerance": 0.0, "difference": dict.fromkeys(layers, 0.0)}

    run_packs.load_model = lambda name, *_: model_config(name) and name

    class NullPooler:
        def __init__(self, pooling):
            pass

        def pool(self, vectors, spans):
            return spans.row_index, vectors

    run_packs.PackedEngine = NullEngine
    run_packs.check_engine = check_engine
    run_packs.Pooler = NullPooler


AfterImport("evo2_embed.embed.run_packs", replace)
