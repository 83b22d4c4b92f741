"""Pack files to a training set: whatever the shards, the rows are the same; faults are refused."""

import shutil
from pathlib import Path

import polars as pl
import pytest
from evo2_embed.chunk.chunk_table import chunk_bundle
from evo2_embed.dataset.shards import BundleFiles
from evo2_embed.finetune import dataset
from evo2_embed.finetune.dataset import write_dataset
from evo2_embed.finetune.export import export_shard
from evo2_embed.finetune.split import split_chunks
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.errors import InputError
from evo2_embed.pack.pack_shard import pack_shard
from runs import random_bases, write_fasta

RECORDS = [("chrB", random_bases(2930, 1)), ("chr|A", random_bases(410, 2))]


@pytest.fixture
def export(complete, tmp_path):
    """A function that packs and exports a genome in `n_shards` shards: its bundle's files."""
    write_fasta("g.fa", RECORDS)
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
