"""A saturation scan of phage lambda: its rows are those of every mutated sequence."""

import gzip
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
import yaml
from evo2_embed.chunk.chunk_table import chunk_bundle
from evo2_embed.config.resolve import resolve
from evo2_embed.embed.embed_shard import embed_shard
from evo2_embed.model import registry
from evo2_embed.model.loading import load_model
from evo2_embed.model.weights import fetch_model
from evo2_embed.pack.pack_shard import pack_shard
from evo2_embed.run.frozen import plan_run
from evo2_embed.settings.extraction import Model
from evo2_embed.settings.jobs import Runtime
from runs import ROOT
from stock import FACTOR, alone, in_float64, score_alone

LAYER, SIZE, SPAN = "blocks.6", 256, (38_000, 38_005)  # as in the example
COMPLEMENT = str.maketrans("ACGT", "TGCA")


@pytest.fixture(scope="module")
def scanned(tmp_path_factory):
    """Rows of the example: its chunk table, and the tables of its shard by name."""
    folder = tmp_path_factory.mktemp("scan")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT / "config" / "examples" / "scan")
        config = yaml.safe_load(Path("config/config.yaml").read_text())
        (settings, genomes), run = resolve(config), plan_run(config)
        assert [genome.scan for genome in genomes] == [True]
        chunks, packs = folder / "chunks.parquet", folder / "lambda" / "00000.parquet"
        section = {"variants": settings.variants.to_dict()}
        windows = settings.windows.to_dict()
        chunk_bundle(genomes, windows, str(folder / "i"), str(chunks), 1, **section)
        packing = {"packing": settings.packing.to_dict(), "code": 1}
        pack_shard(genomes, str(chunks), 0, 1, packing, str(folder / "i"), str(packs))
        patch.chdir(folder)
        patch.setattr(torch.cuda, "is_available", lambda: False)
        fetch_model(Model(), "models", "model.json")
        files = "out/shard.json", "out/speed.json"
        checkpoint = registry.bundled_checkpoint()
        embed_shard(
            str(packs), "model.json", checkpoint, run.embed_settings("scan"), Runtime(), *files
        )
    tables = {path.stem: pl.read_parquet(path) for path in (folder / "out").glob("*.parquet")}
    return pl.read_parquet(chunks), {name: table.sort("chunk") for name, table in tables.items()}


def mutated():
    """By variant, strand and allele: the bases of the window, and how many are before the variant.
    All variants of a strand have one window, whose middle is the last of them."""
    with gzip.open(ROOT / "resources" / "lambda.fa.gz", "rt") as lines:
        genome = "".join(line.strip() for line in lines if line[0] != ">")
    half, (first, stop) = SIZE // 2, SPAN
    for place in range(first, stop):
        for letter in sorted(set("ACGT") - {genome[place]}):
            name = f"gi|9626243|ref|NC_001416.1|:{place + 1}:{genome[place]}:{letter}"
            for allele, base in (("ref", genome[place]), ("alt", letter)):
                text = genome[:place] + base + genome[place + 1 :]
                window = text[stop - 1 - half : stop - 1 + half]
                yield (name, "+", allele), (window, half - (stop - 1 - place))
                window = text[first + 1 - half : first + 1 + half].translate(COMPLEMENT)[::-1]
                yield (name, "-", allele), (window, half - (place - first))


def test_rows_of_a_scan_are_those_of_every_mutated_sequence(scanned):
    chunks, tables = scanned
    wanted = dict(mutated())
    keys = chunks.select("variant", "strand", "allele").rows()
    assert sorted(keys) == sorted(wanted)
    assert len(keys) == 5 * 3 * 2 * 2
    names = dict(zip((key[0].split(":")[1] for key in keys), chunks["id"], strict=True))
    assert list(names.values()) == ["first"] * 3 + ["second"] * 2
    # On each strand the reference runs once, and each alternate from its base on.
    own = (
        chunks["context"]
        - pl.select(
            pl.when(chunks["parent"].is_not_null()).then(chunks["fork"]).otherwise(0)
        ).to_series()
    )
    runs = chunks.select("stretch", own=own).group_by("stretch").max()
    assert runs["own"].sum() == 2 * (SIZE + 3 * sum(SIZE // 2 + i for i in range(5)))
    torch.set_num_threads(1)
    evo2 = load_model(registry.TINY, registry.bundled_checkpoint(), "fp32")
    texts = sorted({text for text, _ in wanted.values()})
    number = {text: i for i, text in enumerate(texts)}
    row = [number[wanted[key][0]] for key in keys]
    before = [wanted[key][1] for key in keys]
    ids = torch.tensor([list(text.encode()) for text in texts])
    stock = evo2.forward(ids, return_embeddings=True, layer_names=[LAYER])[1][LAYER].double()
    # The stock model's own rounding, on some sequences.
    some = [np.frombuffer(text.encode(), np.uint8) for text in texts[:3]]
    both = [
        [alone(model, tokens, [LAYER, "scores"]) for tokens in some]
        for model in (evo2, in_float64(evo2))
    ]
    bound = {
        layer: FACTOR
        * max(float((a[layer].double() - b[layer]).abs().max()) for a, b in zip(*both, strict=True))
        for layer in (LAYER, "scores")
    }
    for name, firsts in ((LAYER, [0] * len(row)), (f"{LAYER}.downstream", before)):
        found = np.stack(tables[name]["embedding"].to_numpy())
        means = [stock[i, first:].mean(0).numpy() for i, first in zip(row, firsts, strict=True)]
        assert np.abs(found - means).max() <= bound[LAYER], name
        # The alleles of a variant differ by far more.
        assert np.abs(found[::2] - found[1::2]).max(1).min() > 10 * bound[LAYER], name
    sums = np.array(score_alone(evo2, texts, "sum"))[row]
    assert (tables["scores"]["scored"] == SIZE - 1).all()
    assert np.abs(tables["scores"]["sum"].to_numpy() - sums).max() <= bound["scores"] * SIZE
