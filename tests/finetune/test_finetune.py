"""The training set: its rows, its files, and that a model learns from them."""

import json
import re
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import show_plan
import torch
from evo2_embed.chunk.chunk_table import chunk_bundle
from evo2_embed.dataset.shards import BundleFiles
from evo2_embed.finetune import dataset
from evo2_embed.finetune.dataset import write_dataset
from evo2_embed.finetune.export import export_shard
from evo2_embed.finetune.forms import packed_rows, padded_rows
from evo2_embed.finetune.segments import Segments
from evo2_embed.finetune.split import split_chunks
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import read_json
from evo2_embed.pack.pack_shard import pack_shard
from runs import Workflow, random_bases, write_fasta
from train_evo2_tiny import make_model

COMPLEMENT = str.maketrans("ACGT", "TGCA")
GENOMES = {
    "large": [("chrB", random_bases(2930, 1)), ("chr|A", random_bases(410, 2))],
    "small": [("plasmid", random_bases(50, 3))],
}
BASES = {(genome, name): bases for genome, rows in GENOMES.items() for name, bases in rows}
TARGET = "results/finetune/summary.json"
KEYS = ["genome", "contig", "start", "end", "strand"]
FORMS = ("packed", "padded")
STEPS = 8


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder in which a run has written a training set: three shards of two genomes."""
    flow = Workflow(tmp_path_factory.mktemp("finetune") / "flow")
    flow.sheet({g: write_fasta(flow.folder / f"{g}.fa", rows) for g, rows in GENOMES.items()})
    flow.configure(
        windows={"size": 64, "stride": 48, "strands": "both"},
        packing={"bos": True, "max_tokens": 300},
        sharding={"shard_tokens": 5000},
        export="finetune",
        finetune={"block": 160, "gap": 20},
    )
    flow.run(TARGET)
    return flow


@pytest.fixture(scope="module")
def load_dataset(tmp_path_factory):
    """`datasets.load_dataset`, with a cache of its own and no network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("cache")))
        import datasets

        cache = tmp_path_factory.mktemp("cache")
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
        yield datasets.load_dataset


def rows_of(flow, form, split):
    """Rows of a form, as its files have them."""
    pattern = flow.folder / "results" / "finetune" / form / f"{split}-*.parquet"
    return pl.read_parquet(pattern)


def test_packed_rows_hold_segments_that_do_not_predict_one_another():
    (table,) = packed_rows(three_segments(), [np.array([2, 0]), np.array([1])])
    assert table.to_pylist() == [
        {
            "input_ids": [65, 67, 71, 67, 71],
            "attention_mask": [1, 1, 1, 1, 1],
            "position_ids": [0, 1, 2, 0, 1],
            "cu_seqlens": [0, 3, 5],
            "labels": [-100, 67, 71, -100, 71],
            "genome": ["h", "g"],
            "contig": ["a", "a"],
            "start": [0, 0],
            "end": [3, 2],
            "strand": ["+", "-"],
        },
        {
            "input_ids": [84],
            "attention_mask": [1],
            "position_ids": [0],
            "cu_seqlens": [0, 1],
            "labels": [-100],
            "genome": ["g"],
            "contig": ["a"],
            "start": [1],
            "end": [2],
            "strand": ["+"],
        },
    ]


def test_padded_rows_are_of_one_width_and_pads_have_no_labels():
    (table,) = padded_rows(three_segments(), np.array([0, 2]), 4, 1)
    assert table.to_pylist() == [
        {
            "input_ids": [67, 71, 1, 1],
            "attention_mask": [1, 1, 0, 0],
            "position_ids": [0, 1, 2, 3],
            "labels": [-100, 71, -100, -100],
            "length": 2,
            **{"genome": "g", "contig": "a", "start": 0, "end": 2, "strand": "-"},
        },
        {
            "input_ids": [65, 67, 71, 1],
            "attention_mask": [1, 1, 1, 0],
            "position_ids": [0, 1, 2, 3],
            "labels": [-100, 67, 71, -100],
            "length": 3,
            **{"genome": "h", "contig": "a", "start": 0, "end": 3, "strand": "+"},
        },
    ]


def three_segments():
    keys = {
        "genome": ["g", "g", "h"],
        "contig": ["a", "a", "a"],
        "start": [0, 1, 0],
        "end": [2, 2, 3],
        "strand": ["-", "+", "+"],
    }
    tokens = np.frombuffer(b"CGTACG", np.uint8)
    return Segments(pl.DataFrame(keys), tokens, np.array([0, 2, 3, 6]))


def test_every_window_is_in_one_split_and_in_both_forms(finished):
    chunks = pl.concat(
        [pl.read_parquet(path) for path in finished.folder.glob("results/chunks/*.parquet")]
    )
    summary = read_json(finished.folder / "results/finetune/summary.json")
    found = []
    for split in ("train", "validation"):
        padded = rows_of(finished, "padded", split).sort(KEYS)
        packed = rows_of(finished, "packed", split)
        assert packed.select(KEYS).explode(KEYS).sort(KEYS).equals(padded.select(KEYS))
        assert len(padded) == summary["chunks"][split] > 0
        found.append(padded.select(KEYS))
    keys = pl.concat(found)
    assert keys.is_unique().all()
    assert len(keys) + summary["chunks"]["left_out"] == len(chunks)
    assert summary["chunks"]["left_out"] > 0
    both = keys.group_by("genome", "contig", "start", "end").len()
    assert (both["len"] == 2).all()


def test_tokens_are_the_windows_bases_behind_a_bos(finished):
    for split in ("train", "validation"):
        for row in rows_of(finished, "padded", split).iter_rows(named=True):
            check_tokens(row, row["input_ids"][: row["length"]])
            assert set(row["input_ids"][row["length"] :]) <= {1}
            assert len(row["input_ids"]) == 65
            assert row["attention_mask"] == [i < row["length"] for i in range(65)]
        for row in rows_of(finished, "packed", split).iter_rows(named=True):
            assert len(row["input_ids"]) <= 300
            for i, (start, stop) in enumerate(pairwise(row["cu_seqlens"])):
                key = {name: row[name][i] for name in KEYS}
                check_tokens(key, row["input_ids"][start:stop])
                assert row["position_ids"][start:stop] == list(range(stop - start))
                assert row["labels"][start:stop] == [-100, *row["input_ids"][start + 1 : stop]]


def check_tokens(key, tokens):
    bases = BASES[key["genome"], key["contig"]][key["start"] : key["end"]]
    if key["strand"] == "-":
        bases = bases.translate(COMPLEMENT)[::-1]
    assert tokens == [0, *bases.encode()]


def test_datasets_finds_the_splits_by_itself(finished, load_dataset):
    folder = finished.folder / "results" / "finetune"
    forms = read_json(folder / "summary.json")["forms"]
    for form in FORMS:
        for found in (load_dataset(str(folder / form)), load_dataset(str(folder), form)):
            assert {split: len(rows) for split, rows in found.items()} == forms[form]["rows"]
        schema = pq.read_schema(folder / form / "train-00000.parquet")
        assert found["train"].features.arrow_schema.remove_metadata() == schema.remove_metadata()


def test_the_share_of_pads_is_that_of_the_rows(finished):
    summary = read_json(finished.folder / "results/finetune/summary.json")
    card = (finished.folder / "results" / "finetune" / "README.md").read_text()
    log = (finished.folder / "logs" / "write_finetune.log").read_text()
    for form in FORMS:
        masks = [rows_of(finished, form, split)["attention_mask"] for split in summary["tokens"]]
        masks = pl.concat(masks).explode()
        share = summary["forms"][form]["padding_share"]
        assert share == pytest.approx(1 - masks.mean())
        assert masks.sum() == sum(summary["tokens"].values())
        assert f"| {share:.1%} |" in card
        assert f"{share:.1%} padding" in log
    assert summary["forms"]["packed"]["padding_share"] == 0 < share < 0.2
    assert not re.findall(r"<\w+>", card)  # all of the template was filled in


def test_a_run_has_the_jobs_and_bytes_of_its_plan(finished, monkeypatch):
    monkeypatch.chdir(finished.folder)
    plan = json.loads(show_plan.main("config/config.yaml", ".", True))
    planned = finished.planned("--forceall")
    assert planned == {**plan["jobs"], "all": 1}
    assert planned["export_packs"] == 3
    sizes = [len(file) for file in finished.files("export/**/*.parquet").values()]
    assert plan["totals"]["finetune_bytes"] == pytest.approx(sum(sizes), rel=0.3)
    assert not finished.planned(TARGET)


@pytest.fixture(scope="module")
def samples(finished, load_dataset):
    """By form the batches, ids and labels, that the code of the card's README gives."""
    card = (finished.folder / "results" / "finetune" / "README.md").read_text()
    here = re.compile(r"# loss_of.*\n    break")
    batches, names = {}, {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(finished.folder)
        torch.manual_seed(0)
        torch.set_num_threads(1)
        code = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
        for form, text in zip(("padded", "packed"), code, strict=True):
            batches[form] = []
            names["see"] = lambda *batch, form=form: batches[form].append(batch)
            assert here.search(text)
            exec(here.sub("see(ids, labels)", text), names)
    return batches, names["loss_of"]


@pytest.mark.parametrize("form", FORMS)
def test_a_few_steps_of_the_bundled_model_lower_the_loss(samples, form):
    batches, loss_of = samples
    model = make_model(0)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    losses = []
    for step in range(STEPS):
        loss = loss_of(model, *batches[form][step % len(batches[form])])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[0] > np.log(100)
    assert losses[-1] < 0.6 * losses[0], losses


def test_pads_do_not_count(samples):
    batches, loss_of = samples
    ids, labels = next(b for b in batches["padded"] if (b[1][:, 1:] == -100).any())
    pads = labels == -100
    pads[:, 0] = False
    others = ids.clone()
    others[pads] = torch.randint(65, 85, (int(pads.sum()),))
    more = torch.nn.functional.pad(ids, (0, 40), value=1)
    more_labels = torch.nn.functional.pad(labels, (0, 40), value=-100)
    model = make_model(0)
    loss, gradient = loss_and_gradient(loss_of, model, ids, labels)
    for changed in ((others, labels), (more, more_labels)):
        found, its_gradient = loss_and_gradient(loss_of, model, *changed)
        assert found == pytest.approx(loss, rel=1e-6)
        assert (its_gradient - gradient).norm() < 1e-4 * gradient.norm()
    counted = torch.where(pads, ids, labels)  # what a set that forgot its pads would have
    _, its_gradient = loss_and_gradient(loss_of, model, ids, counted)
    assert (its_gradient - gradient).norm() > 1e-2 * gradient.norm()


def loss_and_gradient(loss_of, model, ids, labels):
    model.zero_grad()
    loss = loss_of(model, ids, labels)
    loss.backward()
    gradients = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    return loss.item(), torch.cat(gradients)


@pytest.fixture
def export(complete, tmp_path):
    """A function that packs and exports a genome in `n_shards` shards: its bundle's files."""
    write_fasta("g.fa", GENOMES["large"])
    genomes = [Genome("g", "g.fa")]

    def export(folder, n_shards, pad_token="pad", **packing):
        settings = complete(windows={"size": 64, "stride": 48, "strands": "both"}, packing=packing)
        folder = tmp_path / folder
        chunks, blocks = str(folder / "g.parquet"), str(folder / "blocks.parquet")
        chunk_bundle(genomes, settings.windows.to_dict(), "indexes", chunks, 1)
        split = {"split": "block", "block": 160, "gap": 20, "validation_share": 0.1, "code": 1}
        split_chunks([chunks], split, blocks)
        records = []
        for shard in range(n_shards):
            packs = str(folder / "packs" / "g" / f"{shard:05d}.parquet")
            packed = {"code": 1, "packing": settings.packing.to_dict()}
            pack_shard(genomes, chunks, shard, n_shards, packed, "indexes", packs)
            output = folder / "export" / "g" / f"{shard:05d}"
            export_shard(packs, blocks, {"pad_token": pad_token, "code": 1}, str(output))
            records.append(str(output / "export.json"))
        return [BundleFiles(chunks, records)], blocks, {"pad_token": pad_token, "code": 1}

    return export


def padded(folder):
    """The padded rows of a training set, by split."""
    return {
        split: pl.read_parquet(folder / "padded" / f"{split}-*.parquet")
        for split in ("train", "validation")
    }


def test_shards_and_packs_do_not_matter(export, tmp_path):
    write_dataset(*export("one", 1), str(tmp_path / "one" / "set"))
    wanted = padded(tmp_path / "one" / "set")
    for folder, shards, strategy in (("three", 3, "packed"), ("padded", 2, "padded")):
        files = export(folder, shards, strategy=strategy)
        write_dataset(*files, str(tmp_path / folder / "set"))
        found = padded(tmp_path / folder / "set")
        assert all(found[split].equals(wanted[split]) for split in wanted)


def test_shards_without_rows_have_no_file_and_the_bytes_are_always_the_same(export, tmp_path):
    files = export("many", 9)
    output = tmp_path / "many" / "set"
    write_dataset(*files, str(output))
    first = {path.name: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    names = sorted(path.name for path in (output / "packed").iterdir())
    trained = sum(name.startswith("train") for name in names)
    assert len(names) - trained < trained == 9
    assert names[:9] == [f"train-{number:05d}.parquet" for number in range(9)]
    # What an earlier run left is none of this one's.
    shutil.copy(output / "packed" / names[0], output / "packed" / "train-00099.parquet")
    write_dataset(*export("many", 9), str(output))
    again = {path.name: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    assert again == first


def test_files_are_copied_where_there_are_no_links(export, tmp_path, monkeypatch):
    files = export("g", 1)
    write_dataset(*files, str(tmp_path / "linked"))

    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(dataset.os, "link", refuse)
    write_dataset(*files, str(tmp_path / "copied"))
    for path in (tmp_path / "linked").rglob("*.parquet"):
        copy = tmp_path / "copied" / path.relative_to(tmp_path / "linked")
        assert path.stat().st_nlink == 2
        assert copy.stat().st_nlink == 1
        assert copy.read_bytes() == path.read_bytes()


def test_rows_are_filled_up_with_the_token_that_was_asked_for(export, tmp_path):
    write_dataset(*export("g", 1, pad_token="eos", bos=True), str(tmp_path / "set"))
    rows = padded(tmp_path / "set")["train"].filter(pl.col("length") < 65)
    assert len(rows)
    for ids, labels, length in rows.select("input_ids", "labels", "length").iter_rows():
        assert ids[0] == 0 < min(ids[1:length])
        assert set(ids[length:]) == {0}
        assert set(labels[length:]) == {-100}


def test_shards_that_do_not_belong_together_are_refused(export, tmp_path):
    files, blocks, settings = export("g", 2)
    output = str(tmp_path / "set")
    with pytest.raises(InputError, match="made with another split or settings"):
        write_dataset(files, blocks, {**settings, "pad_token": "eos"}, output)
    half = [BundleFiles(files[0].chunks, files[0].records[:1])]
    with pytest.raises(InputError, match="the shards end at stretch"):
        write_dataset(half, blocks, settings, output)
    damaged = Path(files[0].records[1]).parent / "padded-train.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(
        InputError, match=rf"padded-train.parquet: damaged .* delete {damaged.parent}"
    ):
        write_dataset(files, blocks, settings, output)
    assert not Path(output, "summary.json").exists()
    other, _, _ = export("other", 1, bos=True)
    write_fasta("g.fa", [("x", random_bases(3000, 9))])
    files, blocks, settings = export("g", 1)
    packs = tmp_path / "other" / "packs" / "g" / "00000.parquet"
    with pytest.raises(InputError, match="made from another chunk table"):
        export_shard(str(packs), blocks, settings, str(tmp_path / "x"))


def test_faults_of_the_section(complete):
    assert complete().finetune.to_dict() == {
        **{"pad_token": "pad", "split": "block", "block": 2000, "gap": 200},
        "validation_share": 0.1,
    }
    with pytest.raises(InputError, match=r"^finetune.block: 199 is less than windows.size \(200\)"):
        complete(export="finetune", finetune={"block": 199})
    assert complete(export="finetune", finetune={"block": 199, "split": "contig"})
    assert complete(finetune={"block": 199})
