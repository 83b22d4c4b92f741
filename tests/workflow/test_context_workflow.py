"""The workflow with windows in long stretches, against `Evo2.forward` over each stretch."""

import numpy as np
import polars as pl
import pytest
import torch
from evo2_embed.model import registry
from evo2_embed.model.loading import load_model
from runs import Workflow, random_bases, write_fasta
from stock import alone, assert_same, bounds_of, in_float64

COMPLEMENT = str.maketrans("ACGTN", "TGCAN")
CONTIGS = {
    "chr": random_bases(3000, 1),
    "plasmid": random_bases(420, 2),
    "one": random_bases(700, 3),
    "two": "N" * 60 + random_bases(80, 4),
}
SPAN, LEAST, SIZE = 1100, 150, 200


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run of two shards, without the report."""
    folder = tmp_path_factory.mktemp("contexts")
    flow = Workflow(folder / "flow")
    flow.sheet({"all": write_fasta(folder / "all.fa", CONTIGS.items())})
    context = {"span": SPAN, "min": LEAST}
    flow.configure(
        windows={"size": SIZE, "stride": 120, "strands": "both", "context": context},
        packing={"max_tokens": 700, "piece": 300, "bos": True},
        sharding={"shards": 2},
        extractions={
            "means": {"layers": ["blocks.2", "norm"]},
            "bins": {"layers": ["norm"], "pooling": {"bin": 70}},
        },
    )
    flow.run(*(f"results/embeddings/{name}/manifest.json" for name in ("means", "bins")))
    return flow


def rows_of(flow, extraction, layer):
    return pl.read_parquet(flow.folder / f"results/embeddings/{extraction}/{layer}/*.parquet")


def stretch_of(row):
    """Bases that a row's last base has seen, in the direction of its strand."""
    sequence = CONTIGS[row["contig"]]
    if row["strand"] == "+":
        return sequence[row["end"] - row["context"] : row["end"]]
    bases = sequence[row["start"] : row["start"] + row["context"]]
    return bases.translate(COMPLEMENT)[::-1]


@pytest.mark.parametrize(("extraction", "layer"), [("means", "blocks.2"), ("bins", "norm")])
def test_rows_equal_one_call_of_evo2_over_all_that_they_see(finished, extraction, layer):
    torch.set_num_threads(1)
    evo2 = load_model(registry.TINY, registry.bundled_checkpoint(), "fp32")
    precise = in_float64(evo2)
    rows = rows_of(finished, extraction, layer).sample(20, seed=1)
    stock, exact = [], []
    for row in rows.iter_rows(named=True):
        tokens = np.frombuffer(b"\0" + stretch_of(row).encode(), np.uint8)
        for model, pooled in ((evo2, stock), (precise, exact)):
            values = alone(model, tokens, [layer])[layer]
            pooled.append(values[-row["n_tokens"] :].mean(0))
    stock, exact = ({layer: torch.stack(pooled)} for pooled in (stock, exact))
    found = {layer: rows["embedding"].to_numpy()}
    assert_same(found, stock, bounds_of(stock, exact))


def test_windows_see_what_was_asked_for(finished):
    rows = rows_of(finished, "means", "norm").drop("embedding")
    for row in rows.iter_rows(named=True):
        length = len(CONTIGS[row["contig"]])
        start = row["start"] if row["strand"] == "+" else length - row["end"]
        before = row["context"] - row["n_tokens"]
        assert row["context"] <= SPAN
        assert before == start or before >= LEAST
        # All that there is, where that is no more than the span.
        assert before == start or start + row["n_tokens"] > SPAN
    assert rows["context"].max() > 900
    # Contigs shorter than the span: the last window of a strand has seen all of its contig.
    for contig, bases in CONTIGS.items():
        mine, length = rows.filter(contig=contig), len(bases)
        if length <= SPAN:
            assert (
                mine.group_by("strand").agg(pl.col("context").max())["context"].to_list()
                == [length] * 2
            )


def test_the_order_is_that_of_any_dataset(finished):
    rows = rows_of(finished, "bins", "norm")
    order = {name: i for i, name in enumerate(CONTIGS)}
    keys = [
        (order[str(contig)], start, strand)
        for contig, start, strand in rows.select("contig", "start", "strand").rows()
    ]
    assert keys == sorted(keys)
