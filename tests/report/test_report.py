"""The parts of the report page."""

import json

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from evo2_embed.analysis.projection import project
from evo2_embed.io.tables import CHUNKS, table_writer
from evo2_embed.report import html
from evo2_embed.report.gc import add_gc
from evo2_embed.report.probes import verdict
from evo2_embed.report.stages import read_stages
from evo2_embed.report.summary import Result
from hypothesis import example, given, settings
from hypothesis import strategies as st

RNG = np.random.default_rng(0)


def test_the_padding_that_packs_avoid_is_a_share_of_the_padded_tokens(tmp_path):
    shards = [{"n_tokens": 70, "padded_tokens": 90}, {"n_tokens": 5, "padded_tokens": 10}]
    assert Result("default", tmp_path, {}, shards).padding_share == pytest.approx(0.25)


def test_text_from_outside_cannot_become_markup():
    wild = "<script>alert(1)</script>\u202e\x1b[31m"
    for made in (
        html.table(("head", wild), [(wild, 1)], wild),
        html.fold(wild, ""),
        html.section(wild, ""),
        html.note(wild),
        html.says(wild),
        html.cards({wild: wild}),
        html.choice("contig", {wild: wild}),
    ):
        assert r"\u202e\x1b[31m" in made
        for part in ("<script>alert", "</script>", "\u202e", "\x1b"):
            assert part not in made
    assert "<script>alert" not in html.plot([{"name": wild}], {}, wild)
    assert "</script>" not in html.data({"contig": wild}).removesuffix("</script>")
    text = html.data({"contig": wild})
    assert json.loads(text[text.index(">") + 1 : text.rindex("<")]) == {"contig": wild}


def scores_of(*layers, mean=0.9):
    """Scores of layers and of the baselines."""
    return dict.fromkeys([*layers, "gc_kmers", "shuffled_labels"], {"mean": mean})


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (
            {"winner": "norm"},
            "better than all other layers. It is significantly better than GC",
        ),
        (
            {"undecided": ["a", "b"]},
            "mean, but is not significantly better than a, b. It is significantly",
        ),
        ({"undecided": list("abcdef")}, "than a, b, c, d and 2 more."),
        (
            {"winner": "norm", "beats_gc_kmers": False},
            "It is not significantly better than GC",
        ),
        (
            {"scores": scores_of("norm"), "winner": "norm"},
            "norm is the only layer. It is significantly better than GC",
        ),
        (
            {"scores": scores_of("norm", mean=-0.1), "winner": "norm", "metric": "r2"},
            "norm has the best mean, but no layer predicts the labels better than a guess.",
        ),
    ],
)
def test_a_winner_is_named_only_if_there_is_one(record, said):
    whole = {"best": "norm", "winner": None, "undecided": [], "beats_gc_kmers": True}
    whole |= {"scores": scores_of(*"abcdef", "norm"), "metric": "roc_auc", "labels": None}
    assert said in verdict({**whole, **record})


def name_of(start, end, _):
    """One of two names, or none."""
    return ("a", "b", None)[(start + end) % 3]


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 40), st.booleans()), min_size=1),
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9), st.booleans()), min_size=1),
)
@example(held=[(0, 1, False), (0, 25, False)], asked=[(0, 1, False)])
@settings(deadline=None, max_examples=40)
def test_rows_have_the_gc_content_of_the_nearest_chunk_of_their_name(tmp_path_factory, held, asked):
    path = tmp_path_factory.mktemp("gc") / "chunks.parquet"
    strands = {True: "+", False: "-"}
    held = sorted({(start, start + size, strands[plus]) for start, size, plus in held})
    asked = sorted((start, start + size, strands[plus]) for start, size, plus in asked)
    columns = dict.fromkeys(CHUNKS.names, [0] * len(held))
    columns |= dict(zip(("start", "end", "strand"), zip(*held, strict=True), strict=True))
    columns |= dict.fromkeys(CHUNKS.names[CHUNKS.get_field_index("parts") :], [None] * len(held))
    columns["name"] = [name_of(*chunk) for chunk in held]
    columns |= {"gc": [i / len(held) for i in range(len(held))]}
    for name in ("genome", "contig"):
        columns[name] = pa.array(["g"] * len(held)).cast(CHUNKS.field(name).type)
    arrays = [pa.array(columns[field.name], field.type) for field in CHUNKS]
    with table_writer(path, CHUNKS) as writer:
        writer.write_table(pa.Table.from_arrays(arrays, schema=CHUNKS), row_group_size=3)
    keys = pl.DataFrame(asked, schema=["start", "end", "strand"], orient="row")
    names = pl.Series("name", [name_of(*row) for row in asked], pl.String)
    keys = keys.with_columns(names, genome=pl.lit("g"), contig=pl.lit("g"))
    found = add_gc(keys, [str(path)])
    for start, end, strand, gc in found.select("start", "end", "strand", "gc").iter_rows():
        holders = [
            chunk
            for chunk in held
            if chunk[0] <= start and end <= chunk[1] and chunk[2] == strand
            if name_of(*chunk) == name_of(start, end, strand)
        ]
        nearest = max(holders, key=lambda chunk: (chunk[0], -chunk[1]), default=None)
        assert gc == (np.float32(held.index(nearest) / len(held)) if nearest else None)


def test_components_are_those_with_most_variance_and_always_the_same():
    values = RNG.normal(size=(60, 8)) * [9, 5, 3, 1, 1, 1, 1, 1]
    found = project(values, umap=False)
    assert found.umap is None
    assert found.components.shape == (3, 60)
    assert found.shares == sorted(found.shares, reverse=True)
    spread = found.components.var(axis=1, ddof=1)
    assert np.allclose(spread / values.var(axis=0, ddof=1).sum(), found.shares)
    assert np.array_equal(project(values, umap=False).components, found.components)


@pytest.mark.parametrize("values", [np.ones((5, 4)), np.ones((1, 4)), RNG.normal(size=(5, 1))])
def test_vectors_without_variance_are_not_projected(values):
    assert project(values, umap=True) is None


def test_umap_keeps_groups_apart():
    values = np.concatenate([RNG.normal(size=(30, 20)), 20 + RNG.normal(size=(30, 20))])
    points = project(values, umap=True).umap.T
    centres = points[:30].mean(axis=0), points[30:].mean(axis=0)
    between = np.linalg.norm(centres[0] - centres[1])
    assert between > 2 * max(
        np.linalg.norm(p - c, axis=1).max()
        for p, c in ((points[:30], centres[0]), (points[30:], centres[1]))
    )
    assert project(values[:6], umap=True).umap is None


def test_stages_add_up_their_jobs(tmp_path):
    head = "s\th:m:s\tmax_rss\tcpu_time\n"
    (tmp_path / "embed_shard" / "x").mkdir(parents=True)
    (tmp_path / "embed_shard" / "x" / "0.tsv").write_text(head + "2.5\t0\t600\t1\n")
    (tmp_path / "embed_shard" / "x" / "1.tsv").write_text(head + "1.5\t0\tNA\t1\n")
    (tmp_path / "report.tsv").write_text(head + "3\t0\t100\t1\n")
    embed, report = read_stages(tmp_path, ["none", "embed_shard", "report"])
    assert (embed.jobs, embed.seconds, embed.longest, embed.peak_mb) == (2, 4.0, 2.5, 600.0)
    assert (report.rule, report.jobs, report.seconds) == ("report", 1, 3.0)
