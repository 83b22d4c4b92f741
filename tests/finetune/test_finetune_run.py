"""A run that writes a training set: its rows and files, and a model that learns from them."""

import json
import re
from collections import Counter
from itertools import pairwise

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import show_plan
import torch
from doc_blocks import blocks_in
from evo2_embed.io.files import read_json
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


def test_the_code_of_the_page_opens_both_forms(finished, load_dataset, monkeypatch):
    monkeypatch.chdir(finished.folder)
    (block,) = blocks_in("python", "docs/finetune.md")
    exec(block.text, names := {})
    forms = read_json("results/finetune/summary.json")["forms"]
    for form in FORMS:
        assert {split: len(rows) for split, rows in names[form].items()} == forms[form]["rows"]


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
    logs = finished.folder / "logs"
    done = Counter(path.relative_to(logs).with_suffix("").parts[0] for path in logs.rglob("*.log"))
    planned = finished.planned()  # what the finished run leaves: nothing of its own is done again
    assert not done.keys() & planned.keys()
    assert done | planned == {**plan["jobs"], "all": 1}
    assert done["export_packs"] == 3
    sizes = [len(file) for file in finished.files("export/**/*.parquet").values()]
    assert plan["totals"]["finetune_bytes"] == pytest.approx(sum(sizes), rel=0.3)


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
