"""The stock engine: `Evo2.forward` on segments of one length, so without padding."""

import numpy as np
import torch

from evo2_embed.engine.pack import Pack
from evo2_embed.engine.scores import of_tokens
from evo2_embed.io.errors import InputError
from evo2_embed.settings.extraction import SCORES


class StockEngine:
    """`Evo2.forward`, unchanged: the reference for any other engine; see `Engine`."""

    def __init__(self, evo2, layers: list[str]):
        self.evo2, self.layers = evo2, layers
        self.device = next(evo2.model.parameters()).device

    def run(self, pack: Pack) -> dict[str, torch.Tensor]:
        """See `Engine.run`.

        Raises
        ------
        InputError
            If the pack has forks: each sequence runs whole.
        """
        if len(pack.forks) or (pack.parent >= 0).any():
            raise InputError(
                "engine: stock cannot run alternates that share bases with their reference "
                "(allowed: variants.share: none)"
            )
        if pack.width:
            return self._run_padded(pack)
        outputs: dict[str, torch.Tensor] = {}
        lengths = pack.lengths
        for length in np.unique(lengths):
            segments = np.flatnonzero(lengths == length)
            tokens = (pack.cu_seqlens[segments][:, None] + np.arange(length)).reshape(-1)
            batch = self._forward(pack.tokens[tokens].reshape(len(segments), length))
            rows = torch.from_numpy(tokens).to(self.device)
            for layer, values in batch.items():  # (segments, length, width of the layer)
                values = values.reshape(len(rows), -1)
                if layer not in outputs:
                    outputs[layer] = values.new_empty(int(pack.cu_seqlens[-1]), values.shape[1])
                outputs[layer][rows] = values
        return outputs

    def free_unused(self) -> None:
        """See `Engine.free_unused`."""
        torch.cuda.empty_cache()

    def _run_padded(self, pack: Pack) -> dict[str, torch.Tensor]:
        rows = self._forward(pack.tokens.reshape(-1, pack.width))
        # The model is causal, so padding to the right of a segment does not reach it.
        kept = torch.from_numpy(pack.kept).to(self.device)  # (S, width)
        return {layer: values[kept] for layer, values in rows.items()}

    def _forward(self, rows: np.ndarray) -> dict[str, torch.Tensor]:
        """Token embeddings of rows of one length, (B, L) to (B, L, width of the layer)."""
        ids = torch.from_numpy(rows.astype(np.int64)).to(self.device)
        layers = [layer for layer in self.layers if layer != SCORES]
        (logits, _), outputs = self.evo2.forward(ids, return_embeddings=True, layer_names=layers)
        if SCORES in self.layers:
            outputs[SCORES] = of_tokens(logits.to(self.device), ids)
        # FP8 pads the input projections to a multiple of 16 tokens.
        return {layer: outputs[layer][:, : rows.shape[1]].to(self.device) for layer in self.layers}
