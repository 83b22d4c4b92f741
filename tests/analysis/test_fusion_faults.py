"""The settings of a fusion: completed, and each fault in one line when a run starts."""

import pytest
from evo2_embed.io.errors import InputError
from evo2_embed.run.frozen import Run

BOTH = {"windows": {"strands": "both"}}


def fused(name="f", layers=("blocks.2", "norm"), **keys):
    entry = {"method": "mean", **keys}
    return {"extractions": {"default": {"layers": list(layers), "fusion": {name: entry}}}}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (fused("manifest"), "fusion.manifest: the name 'manifest' is the manifest's"),
        (fused("norm"), "fusion.norm: the name 'norm' is a layer's"),
        (fused("embedding_layer"), "the name 'embedding_layer' is a layer's"),
        (fused("blocks.2"), '"blocks.2" is not a valid name'),
        (
            fused(layers_=["blocks.3"]),
            "layers: 'blocks.3' is not a layer of this extraction (allowed: blocks.2, norm)",
        ),
        (fused(layers_="all"), "'blocks.0' is not a layer of this extraction"),
        (
            fused(layers=["norm", "blocks.2.projections"]),
            "these have: norm 128, blocks.2.projections 384 (allowed: concat, {pca: k}, or",
        ),
        (
            fused(method={"pca": 257}),
            "pca: 257 is more than the dimensions of the layers (allowed: 1 ",
        ),
        (fused(method={"pca": 0}), "fusion.f.method.pca: 0 is out of bounds"),
        (fused(method="sum"), "allowed: concat, mean, weighted, {pca: 1 to 4096}"),
        (fused(method="weighted"), "weights: missing for method weighted"),
        (fused(weights=[1, 2]), "weights: mean has none"),
        (fused(method="weighted", weights=[1, 2, 3]), "weights: 3 numbers for 2 layers"),
        (fused(method="weighted", weights=[0, 0]), "weights: all are 0"),
        (fused(method="weighted", weights=[1, -1]), "weights.1: -1 is out of bounds"),
        (fused(method="weighted", weights="probe"), "allowed with the section probe"),
        (fused(strands="mean"), "strands: mean needs both strands of every window (allowed: keep"),
        (fused(parameters="no.npz"), "parameters: no such file 'no.npz'"),
        (
            fused(parameters="results/fusions/x/y.npz"),
            "this run would overwrite 'results/fusions/x/y.npz'",
        ),
        (fused(parameters="{a}.npz"), "a path must not contain { or }"),
        (
            fused(method="weighted", weights=[1, 2], parameters="a.npz"),
            "weights: the file of parameters has the weights (allowed: null)",
        ),
    ],
)
def test_a_fault_is_one_line_that_says_what_is_allowed(complete, tmp_path, changes, said):
    fusion = changes["extractions"]["default"]["fusion"]
    for entry in fusion.values():
        entry["layers"] = entry.pop("layers_", None)
    for name in ("a.npz", "{a}.npz", "results/fusions/x/y.npz"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(InputError) as error:
        complete(**changes)
    lines = str(error.value).splitlines()
    assert said in lines[0]
    assert all("fusion" in line for line in lines)
    assert len(lines) == 1 or "'blocks.0'" in lines[0]


def test_layers_are_spelled_out(complete):
    layers = {"layers": "all", "fusion": {"f": {"method": "concat", "layers": {"every": 4}}}}
    known = complete(extractions={"default": layers}).extractions["default"]
    assert known.fusion["f"].layers == ["blocks.3", "blocks.7"]
    layers["fusion"]["f"]["layers"] = None
    known = complete(extractions={"default": layers}).extractions["default"]
    assert known.fusion["f"].layers == known.layers


def test_embeddings_do_not_depend_on_fusions(complete):
    plain = Run(complete(**BOTH), {}).embed_settings("default")
    with_fusion = Run(complete(**BOTH, **fused(strands="mean")), {}).embed_settings("default")
    assert with_fusion == plain
