"""The index found by blocks is the one that pyfaidx writes, or none at all."""

import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyfaidx
import pytest
from Bio import bgzf
from evo2_embed.genomes import index as indexing
from evo2_embed.genomes.fasta import fetch_tokens, open_fasta
from evo2_embed.genomes.index import RecordIndex, scan_index
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import random_bases, write_fasta

# Names with odd separators, duplicates or not ASCII; lines that are empty or too long.
LINE = st.tuples(st.text("ACGTn >;é", max_size=9), st.sampled_from(["\n", "\n", "\n", "\r\n"]))
HEADER = st.sampled_from(["a", "b x", "c\x1fd", " e\tf", "", "ü"])
ODD = st.lists(st.tuples(HEADER, st.lists(LINE, max_size=5)), min_size=1, max_size=4)


@st.composite
def ordinary(draw):
    """Records with lines of one length, except the last line."""
    records = []
    for number in range(draw(st.integers(1, 4))):
        width = draw(st.integers(1, 9))
        sequence = "ACGTN" * draw(st.integers(1, 6))
        lines = [sequence[i : i + width] for i in range(0, len(sequence), width)]
        records.append((f"{number} {'x' * draw(st.integers(0, 9))}", [(x, "\n") for x in lines]))
    return records


def as_text(records, before, behind):
    text = before
    for name, lines in records:
        text += f">{name}\n" + "".join(letters + end for letters, end in lines)
    return text[:-1] if behind is None else text + behind


def of_pyfaidx(path, folder):
    """The index that pyfaidx writes, None where it refuses the file or reads other bases."""
    try:
        with pyfaidx.Fasta(str(path), indexname=f"{folder}/fai", as_raw=True) as fasta:
            found = [record[:] if len(record) else "" for record in fasta]
    except (pyfaidx.FastaIndexingError, ValueError, RuntimeError):
        return None
    wanted = ["".join(part.splitlines()[1:]) for part in path.read_text().split("\n>")]
    return Path(f"{folder}/fai").read_text() if found == wanted else None


def both(text, block):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(indexing, "_BLOCK", block)
        path = Path(folder) / "g.fa"
        path.write_bytes(text.encode())
        return scan_index(str(path)), of_pyfaidx(path, folder)


@given(
    records=ODD | ordinary(),
    before=st.sampled_from(["", "", "", "\n", ";x\n", "A\n", "\ufeff"]),
    behind=st.sampled_from(["", "", None, "\n", "\n\n", "A", "\r"]),
    block=st.integers(8, 64),
)
@settings(max_examples=120, deadline=None)
def test_an_index_is_that_of_pyfaidx_whatever_the_file_and_the_block(
    records, before, behind, block
):
    found, wanted = both(as_text(records, before, behind), block)
    if found is not None:
        assert found == wanted


@given(records=ordinary(), before=st.sampled_from(["", ">e\n", '>"q\nAC\n']))
@settings(max_examples=60, deadline=None)
def test_an_index_is_read_as_pyfaidx_reads_it(records, before):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "g.fa"
        path.write_text(as_text(records, before, ""))
        wanted = pyfaidx.Faidx(str(path)).index
        found = RecordIndex.read(f"{path}.fai")
    assert dict(found) == dict(wanted)
    assert list(found) == list(wanted)


@pytest.mark.parametrize("text", ["a\t3\t3\t3\n", "a\t3\t3\tx\t4\n", "a\t1\t3\t1\t2\n" * 2])
def test_a_damaged_index_is_an_error(tmp_path, text):
    (tmp_path / "fai").write_text(text)
    with pytest.raises(ValueError, match="columns|conversion|Duplicate"):
        RecordIndex.read(str(tmp_path / "fai"))


@given(records=ordinary(), behind=st.sampled_from(["", None]), block=st.integers(30, 64))
@settings(max_examples=120, deadline=None)
def test_ordinary_files_are_indexed_here(records, behind, block):
    found, wanted = both(as_text(records, "", behind), block)
    assert found is not None
    assert found == wanted


def test_a_line_longer_than_a_block_is_left_to_pyfaidx(tmp_path, monkeypatch):
    monkeypatch.setattr(indexing, "_BLOCK", 1000)
    (tmp_path / "g.fa").write_text(f">a\n{random_bases(1001, 1)}\n")
    assert scan_index(str(tmp_path / "g.fa")) is None
    assert scan_index(write_fasta(tmp_path / "g.fa", [("a", random_bases(1001, 1))])) is not None


@pytest.mark.parametrize("kind", ["plain", "bgzip"])
def test_jobs_that_need_a_missing_index_make_it_once(tmp_path, monkeypatch, kind):
    """Jobs of one genome start together; each may find that `results/indexes` is empty."""
    text = f">a\r\n{random_bases(50, 1)}\r\n"  # CRLF, so that pyfaidx makes the index
    path = tmp_path / ("g.fa" if kind == "plain" else "g.fa.gz")
    opener = open if kind == "plain" else bgzf.BgzfWriter
    with opener(str(path), "wb") as handle:
        handle.write(text.encode())
    built, build = [], pyfaidx.Faidx

    def slow(*arguments, **options):
        if options["indexname"].endswith(".fai"):
            return build(*arguments, **options)  # an index that is there is opened
        time.sleep(0.05)
        built.append(path)
        return build(*arguments, **options)

    monkeypatch.setattr(pyfaidx, "Faidx", slow)
    start = threading.Barrier(4)

    def job(_):
        start.wait()
        with open_fasta(str(path), str(tmp_path / "i" / "g.fai")) as fasta:
            return fetch_tokens(fasta, "a", 0, 50, "upper", "g").tobytes().decode()

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(job, range(4))) == {random_bases(50, 1)}
    assert len(built) == 1
    left = {"g.fai"} if kind == "plain" else {"g.fai", "g.fai.gzi"}
    assert {file.name for file in (tmp_path / "i").iterdir()} == left
