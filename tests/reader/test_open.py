"""Datasets are found by the names that users know, and one line says what is wrong."""

import pickle

import evo2_embed
import pytest
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import read_json, write_json
from made import ROWS, WIDTH


def fails(*arguments):
    """The message of an open that is refused; it is one line."""
    with pytest.raises(InputError) as error:
        evo2_embed.open(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_dataset_is_opened_by_names_by_folder_or_by_record(results):
    folder = results / "embeddings" / "default"
    ways = [
        (results, "default", "blocks.2"),
        (str(results / "embeddings"), "default", "blocks.2"),
        (folder, "blocks.2"),
        (folder / "manifest.json", "blocks.2"),
        (folder / "blocks.2",),
        (folder / "blocks.2.json",),
    ]
    for way in ways:
        ds = evo2_embed.open(*way)
        assert (ds.name, len(ds), ds.width) == ("blocks.2", len(ROWS), WIDTH)
        assert ds.dataset.path.resolve() == folder / "blocks.2.json"
    assert ds.layers == ["blocks.2", "blocks.10"]


def test_a_name_is_needed_only_if_there_are_several(results):
    assert evo2_embed.open(results, "bins").name == "norm"
    assert evo2_embed.open(results / "embeddings" / "bins").name == "norm"
    assert fails(results).endswith("embeddings: name one extraction of bins, default")
    assert fails(results, "default").endswith("name one layer of blocks.2, blocks.10")


def test_what_is_not_there_is_said_with_what_is(results):
    assert fails(results, "defualt").endswith("no extraction 'defualt'; did you mean 'default'?")
    assert fails(results, "default", "blocks.1").endswith(
        "no layer 'blocks.1'; did you mean 'blocks.10' or 'blocks.2'?"
    )
    assert fails(results, "default", "zzz").endswith(
        "no layer 'zzz'; there are: blocks.2, blocks.10"
    )
    assert fails(results / "nowhere").endswith("nowhere: there is no such file or folder")
    assert "no finished dataset in it" in fails(results.parent)
    folder = results / "embeddings" / "bins" / "norm"
    assert fails(folder, "norm").endswith("norm: is a dataset; leave out 'norm'")


def test_a_dataset_that_is_half_written_is_named(results):
    folder = results / "embeddings" / "default"
    record = folder / "blocks.2.json"
    first, second = read_json(record)["parts"][:2]
    first, second = folder / "blocks.2" / first["file"], folder / "blocks.2" / second["file"]
    first.unlink()
    second.write_bytes(second.read_bytes()[:-1])
    with pytest.raises(InputError) as error:
        evo2_embed.open(record)
    assert str(error.value).split("\n") == [
        f"{first}: the file is missing; rerun to redo it",
        f"{second}: damaged or changed since it was written; delete {second} and rerun to redo it",
    ]
    record.unlink()
    assert fails(folder / "blocks.2") == f"{record}: the file is missing; rerun to redo it"
    record.write_text("{}")
    assert fails(record).startswith(f"{record}: damaged or edited")


def test_the_manifest_is_that_of_the_extraction(ds):
    path = ds.dataset.path.parent / "manifest.json"
    with pytest.raises(InputError, match="manifest.json: the file is missing; rerun"):
        _ = ds.manifest
    write_json(path, {"model": "evo2_tiny"})
    assert ds.manifest == {"model": "evo2_tiny"}
    assert ds.layers == ["blocks.2", "blocks.10"]


def test_a_dataset_describes_itself(ds):
    text = repr(ds)
    assert text.startswith(f"dataset: blocks.2 ({ds.dataset.folder})\nrows: 230 of 5 numbers")
    assert "model: evo2_tiny" in text
    assert "contig" in text
    html = ds._repr_html_()
    assert html.count("<tr>") == len(text.split("\n"))
    assert "blocks.2" in html


def test_an_opened_dataset_can_be_pickled(ds):
    before = ds.region("chr2")
    assert pickle.loads(pickle.dumps(ds)).region("chr2").equals(before)


def test_verify_names_the_files_whose_digests_are_wrong(ds):
    ds.verify()
    parts = [ds.dataset.folder / part["file"] for part in ds.dataset.record["parts"]]
    content = bytearray(parts[1].read_bytes())
    content[len(content) // 2] ^= 1
    parts[1].unlink()
    parts[1].write_bytes(content)
    again = evo2_embed.open(ds.dataset.path)  # the sizes are right
    for read in (again.verify, again.numpy, again.genomes, again.mean, again.torch):
        with pytest.raises(InputError, match=f"{parts[1]}: damaged or changed"):
            read()
    assert len(again.rows(0)) == 1  # of another file
