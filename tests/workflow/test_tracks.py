"""Tracks, read back by the bigWig library, against numbers that plain numpy averages per base."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pyBigWig
import pytest
from evo2_embed.export import averages
from evo2_embed.export.averages import Averager, merge
from evo2_embed.export.genome_tracks import GenomeTracks, file_names
from evo2_embed.export.tracks import write_tracks
from evo2_embed.io.digests import file_sha256
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import read_json
from evo2_embed.run.frozen import load_frozen
from evo2_embed.run.record_files import recorded_files

RNG = np.random.default_rng(8)
SETTINGS = {"tracks": None, "strands": "keep", "code": 1}


def per_base(rows, length, column):
    """The mean of the rows that cover each base; NaN where none does."""
    total, count = np.zeros(length), np.zeros(length)
    for start, end, value in rows.select("start", "end", column).iter_rows():
        if value is not None:
            total[start:end] += value
            count[start:end] += 1
    return np.divide(total, count, out=np.full(length, np.nan), where=count > 0)


def bases_of(path, contig, length):
    with pyBigWig.open(str(path)) as file:
        spans = file.intervals(contig) or ()
        assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:], strict=False))
        return np.array(file.values(contig, 0, length))


@pytest.fixture
def write(finished_run, tmp_path, monkeypatch):
    """A function that writes the tracks of a dataset of the run."""
    monkeypatch.chdir(finished_run.folder)
    run = load_frozen("results/run_config.yaml")
    bundles = [(name, list(bundle.genomes)) for name, bundle in run.bundles.items()]

    def write(record, bundles=bundles, **settings):
        output = tmp_path / "tracks" / "any.json"
        path, settings = f"results/{record}.json", {**SETTINGS, **settings}
        made = write_tracks(path, bundles, settings, "indexes", str(output))
        rows = pl.read_parquet(f"results/{record}/*.parquet")
        return output.with_suffix(""), made, rows.with_columns(pl.col("genome").cast(str))

    return write


def test_probabilities_are_averaged_per_base_and_strand(write):
    folder, made, rows = write("heads/both/genes")
    checked = 0
    for genome, contig, strand in rows.select("genome", "contig", "strand").unique().iter_rows():
        mine = rows.filter(genome=genome, contig=contig, strand=strand)
        length = mine["end"].max()
        suffix = {"+": "plus", "-": "minus"}[strand]
        for name in ("CDS", "background"):
            found = bases_of(folder / genome / f"{name}.{suffix}.bw", contig, length)
            np.testing.assert_allclose(found, per_base(mine, length, f"p_{name}"), atol=1e-6)
            checked += 1
    assert checked == 2 * 2 * 4  # classes, strands, contigs
    assert set(made["genomes"]) == {"large", "small"}
    with pyBigWig.open(str(folder / "large" / "CDS.plus.bw")) as file:
        assert file.chroms() == {
            name: rows.filter(contig=name)["end"].max() for name in ("chrB", "chrA")
        }


def test_the_run_has_the_tracks_of_its_heads_and_scores(finished_run):
    folder = finished_run.folder / "results" / "export" / "bigwig"
    records = {str(path.relative_to(folder)) for path in folder.glob("*/*.json")}
    assert records == {"both/genes.json", "both/scores.json", "bins/scores.json"}
    for name in records:
        files = list(recorded_files(folder / name, read_json(folder / name)))
        assert {file.path for file in files} == {*(folder / name).with_suffix("").glob("*/*")}
        assert all(file_sha256(file.path) == file.sha256 for file in files)
    small = {path.name for path in (folder / "both/genes/small").iterdir()}
    strands = ("plus", "minus")
    of_classes = {f"{name}.{s}.bw" for name in ("CDS", "background") for s in strands}
    assert small == {*of_classes, "calls.bed"}
    assert {path.name for path in (folder / "both/scores/small").iterdir()} == {"log_p.bw"}


def test_strands_are_joined_to_their_mean(write):
    folder, made, rows = write("heads/both/genes", strands="mean", tracks=["CDS"])
    mine = rows.filter(genome="large", contig="chrB")
    length = mine["end"].max()
    found = bases_of(folder / "large" / "CDS.bw", "chrB", length)
    np.testing.assert_allclose(found, per_base(mine, length, "p_CDS"), atol=1e-6)
    assert sorted(path.name for path in (folder / "large").iterdir()) == ["CDS.bw", "calls.bed"]
    assert made["tracks"] == ["CDS"]


def test_calls_are_the_bases_at_which_a_class_is_the_most_probable(write):
    folder, _, rows = write("heads/both/genes", strands="mean")
    for contig in ("chrA", "chrB"):
        mine = rows.filter(genome="large", contig=contig)
        length = mine["end"].max()
        coding, rest = (per_base(mine, length, f"p_{name}") for name in ("CDS", "background"))
        called = np.zeros(length, bool)
        last = -1
        for line in (folder / "large" / "calls.bed").read_text().splitlines():
            chrom, start, end, name, score, strand = line.split("\t")
            assert (name, strand) == ("CDS", ".")
            if chrom == contig:
                span = slice(int(start), int(end))
                assert span.start > last  # calls that touch are one
                last = span.stop
                called[span] = True
                assert int(score) == pytest.approx(1000 * coding[span].mean(), abs=1)
        assert (called == (coding >= rest)).all()
        assert called.any()


def test_of_a_sparse_head_the_chosen_features_are_drawn(write):
    folder, made, rows = write("heads/both/features", tracks=[21, 1])
    mine = rows.filter(genome="large", contig="chrB", strand="-")
    length = mine["end"].max()
    for feature in (1, 21):
        value = pl.struct("features", "values").map_elements(
            lambda row, feature=feature: dict(zip(row["features"], row["values"], strict=True)).get(
                feature, 0.0
            ),
            pl.Float64,
        )
        wanted = per_base(mine.with_columns(value=value), length, "value")
        found = bases_of(folder / "large" / f"{feature}.minus.bw", "chrB", length)
        np.testing.assert_allclose(found, wanted, rtol=1e-6)
        assert (wanted > 0).any()
    lines = (folder / "large" / "calls.bed").read_text().splitlines()
    calls = [line.split("\t") for line in lines]
    called = sum(
        int(end) - int(start)
        for c, start, end, f, _, s in calls
        if (c, f, s) == (*("chrB", "21"), "-")
    )
    assert called == (wanted > 0).sum()
    assert max(int(call[4]) for call in calls if call[3] == "21") == 1000


def test_scores_are_drawn_per_bin(write):
    folder, _, rows = write("embeddings/bins/scores")
    mine = rows.filter(genome="small", contig="turned", strand="+")
    length = mine["end"].max()
    found = bases_of(folder / "small" / "log_p.plus.bw", "turned", length)
    np.testing.assert_allclose(found, per_base(mine, length, "mean"), rtol=1e-5)
    assert not (folder / "small" / "calls.bed").exists()


def test_files_of_a_bundle_that_did_not_change_are_kept(write):
    folder, first, _ = write("heads/both/genes")
    before = {path: path.stat().st_ino for path in folder.glob("*/*")}
    lost = folder / "small" / "CDS.plus.bw"
    content = lost.read_bytes()
    lost.unlink()
    (folder / "gone").mkdir()
    _, second, _ = write("heads/both/genes")
    assert second == first
    assert lost.read_bytes() == content
    kept = {path for path, number in before.items() if path.stat().st_ino == number}
    assert kept == {path for path in before if path.parent.name == "large"}
    assert not (folder / "gone").exists()
    assert {folder.parent / entry["file"] for entry in first["exported"]} == set(before)
    for entry in first["exported"]:
        assert (folder.parent / entry["file"]).stat().st_size == entry["bytes"]


def test_a_track_that_is_not_there_is_named(write):
    with pytest.raises(InputError, match="tracks: 'x' is not an output of this head .allowed: CDS"):
        write("heads/both/genes", tracks=["x"])
    with pytest.raises(InputError, match="tracks: '40' is not an output"):
        write("heads/both/features", tracks=[40])


@pytest.mark.parametrize("most", [10**6, 7])
def test_rows_that_overlap_are_averaged_also_a_few_at_a_time(monkeypatch, most):
    monkeypatch.setattr(averages, "MOST_ROWS", most)
    starts = np.sort(RNG.integers(0, 900, 60))
    ends = starts + RNG.integers(1, 100, 60)
    values = RNG.standard_normal((60, 2))
    averager, found = Averager(1000), np.full((1000, 2), np.nan)
    for rows in np.split(np.arange(60), [1, 9, 30, 31]):
        spans = averager.add(starts[rows], ends[rows], values[rows])
        for start, end, mean in zip(*spans, strict=True) if spans else ():
            assert np.isnan(found[start:end]).all()
            found[start:end] = mean
    for start, end, mean in zip(*averager.close(), strict=True):
        assert np.isnan(found[start:end]).all()
        found[start:end] = mean
    for column in range(2):
        rows = pl.DataFrame({"start": starts, "end": ends, "v": values[:, column]})
        np.testing.assert_allclose(found[:, column], per_base(rows, 1000, "v"))


def test_rows_over_the_origin_go_on_at_the_first_base():
    averager = Averager(100)
    averager.add(np.array([10, 90, 105]), np.array([20, 115, 110]), np.array([[1.0], [3], [7]]))
    starts, ends, means = averager.close()
    spans = list(zip(starts.tolist(), ends.tolist(), means[:, 0].tolist(), strict=True))
    assert spans == [(0, 5, 3.0), (5, 10, 5.0), (10, 15, 2.0), (15, 20, 1.0), (90, 100, 3.0)]


def test_intervals_that_touch_and_are_alike_are_one():
    starts, ends = np.array([0, 2, 4, 9]), np.array([2, 4, 8, 10])
    merged = merge(starts, ends, np.array([1, 1, 0, 0]), np.array([1.0, 3.0, 5.0, 6.0]))
    assert [column.tolist() for column in merged] == [
        *([0, 4, 9], [4, 8, 10], [1, 0, 0], [2.0, 5.0, 6.0])
    ]


def test_names_of_files_are_safe_and_each_is_there_once(tmp_path):
    assert file_names(["a/b", "A b", "../c"]) == ["a_b", "A_b-2", ".._c"]
    tracks = GenomeTracks(tmp_path, {"x y": 10, "z": 5}, ["a/b"], ["a/b"], "largest", None)
    tracks.add_contig("x y", [("+", np.array([2]), np.array([4]), np.array([[0.5]]))])
    entries = tracks.close()
    assert [entry["file"] for entry in entries] == ["a_b.plus.bw", "calls.bed"]
    assert Path(tmp_path / "calls.bed").read_text() == "x y\t2\t4\ta/b\t500\t+\n"
    assert json.loads(json.dumps(entries)) == entries
