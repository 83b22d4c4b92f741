"""The comparison, the burn-in and the report of a real run."""

import json
import re

import numpy as np
import polars as pl
import pytest
import torch
from everything import CONTIGS, EXTRACTIONS, FUSIONS, LAYERS
from evo2_embed.analysis.burn_in.limits import ROW
from evo2_embed.io.files import read_json
from evo2_embed.model import registry
from evo2_embed.model.loading import load_model
from page_numbers import decode, decode_column


def test_the_comparison_has_all_layers(finished_run):
    compared = read_json(finished_run.folder / "results/comparisons/both.json")
    assert list(compared["layers"]) == LAYERS == list(compared["cka"])
    assert compared["rows"] == 30
    assert compared["shuffled_windows"] == 4
    for layer in LAYERS:
        assert compared["cka"][layer][layer] == pytest.approx(1, abs=1e-4)
        assert -1 <= compared["layers"][layer]["cosine_to_shuffled"] <= 1
        assert 1 <= compared["layers"][layer]["effective_rank"] <= 30


@pytest.mark.parametrize("extraction", EXTRACTIONS)
def test_rows_of_the_burn_in_are_pooled_from_a_call_of_evo2_for_each_stretch(
    finished_run, extraction
):
    results = finished_run.folder / "results"
    found = read_json(results / f"burn_in/{extraction}.json")
    place = found["place"]
    assert (place["contig"], place["end"] - place["start"], place["stretch"]) == ("chrB", 1024, 256)
    layers = EXTRACTIONS[extraction]["layers"]
    assert list(found["layers"]) == layers
    torch.set_num_threads(1)
    evo2 = load_model(registry.TINY, registry.bundled_checkpoint(), "fp32")
    rows = {
        layer: pl.read_parquet(results / f"burn_in/{extraction}/{layer}.parquet")
        for layer in layers
    }
    starts = rows["norm"]["start"] - rows["norm"]["context"] + rows["norm"]["n_tokens"]
    assert sorted({*starts}) == [0, 512, 768]
    for start, stop in ((0, 1024), (512, 768), (768, 1024)):
        ids = torch.tensor([[0, *CONTIGS["chrB"][start:stop].encode()]])
        _, outputs = evo2.forward(ids, return_embeddings=True, layer_names=layers)
        for layer, table in rows.items():
            mine = table.filter(starts == start).sort("start")
            assert mine["start"].to_list() == list(range(start, stop, ROW))
            tokens = outputs[layer][0, 1:].numpy().astype(np.float64)
            wanted = tokens.reshape(len(mine), ROW, -1).mean(axis=1)
            values = np.stack(mine["embedding"].to_list()).astype(np.float64)
            error = 1e-3 if EXTRACTIONS[extraction].get("dtype") == "float16" else 1e-5
            assert np.abs(values - wanted).max() <= error * np.abs(wanted).max()


def test_the_report_shows_every_rule_and_every_row(finished_run):
    results = finished_run.folder / "results"
    page = (results / "report.html").read_text()
    rules = {
        path.name.removesuffix(".tsv") for path in (finished_run.folder / "benchmarks").iterdir()
    }
    assert {rule for rule in rules if f"<td>{rule}</td>" in page} == rules - {"write_report"}
    for extraction in EXTRACTIONS:
        for title in ("Which layer", "How much context"):
            assert f"<h2>{title}: {extraction}</h2>" in page
    found = map(json.loads, re.findall(r'<script type="application/json">(.*?)</script>', page))
    data = {key: value for each in found for key, value in each.items()}
    names = {
        f"{extraction}: {name}": results / f"embeddings/{extraction}/{name}"
        for extraction, settings in EXTRACTIONS.items()
        for name in [*settings["layers"], *settings.get("fusion", {})]
    }
    assert set(data["datasets"]) == set(names)
    for name, files in names.items():
        rows, dataset = pl.read_parquet(files / "*.parquet"), data["datasets"][name]
        table = data["tables"][dataset["table"]]
        assert decode(table["start"]).tolist() == rows["start"].to_list()
        read = {
            title: decode_column(column)
            for title, column in table["columns"].items()
            if title != "position"
        }
        for title in ("genome", "strand"):
            assert read[title] == rows[title].to_list()
        assert {len(decode(component)) for component in dataset["pcs"]} == {len(rows)}
        assert {"CDS", "background", None} == {*read["label"]}
        assert not np.isnan(read["GC"]).any()
        # In "both", scores are means of both strands, so two rows have the same.
        on = ["genome", "contig", "start", "end"] + ["strand"] * (name == "bins: norm")
        scores = pl.read_parquet(files.with_name("scores") / "*.parquet")
        means = rows.join(scores.select(*on, "mean"), on=on, how="left", maintain_order="left")
        assert np.allclose(read["bits per base"], -means["mean"] / np.log(2), atol=1e-4)
        assert ("-" in read["strand"]) == (name != "both: strands")
    assert all(f"<td>{layer}</td>" in page for layer in LAYERS)
    assert all(f"<td>{name}</td>" in page for name in FUSIONS)
