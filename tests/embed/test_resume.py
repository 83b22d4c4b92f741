"""An embedding job that is killed, stopped, doubled or handed the wrong file."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest
import torch
from evo2_embed.chunk.chunk_table import chunk_bundle
from evo2_embed.embed.embed_shard import _check_still_wanted
from evo2_embed.embed.store import JOURNAL
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import checked_writes
from evo2_embed.model import registry
from evo2_embed.model.loading import load_model
from evo2_embed.model.weights import fetch_model
from evo2_embed.pack.pack_shard import pack_shard
from evo2_embed.run.frozen import plan_run
from evo2_embed.settings.extraction import Model
from runs import CONFIG, SCRIPTS, merged, random_bases, write_fasta
from stock import FACTOR, alone, in_float64

# A process that has imported what a job needs, and forks one process per job. It answers each line
# on standard input: {"packs": ...} with the process id of a job, {"wait": pid, "block": ...} with
# its exit status, or null while it runs.
JOBS = """
import json, os, signal, sys, time
from evo2_embed.embed.embed_shard import embed_shard
from evo2_embed.embed.store import RowStore
from evo2_embed.io.logs import logged_to
from evo2_embed.model.import_evo2 import import_evo2
from evo2_embed.model.registry import bundled_checkpoint
from evo2_embed.settings.jobs import Runtime

def run(folder, packs, settings, log, pause):
    os.chdir(folder)
    os.dup2(os.open("errors", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    save = RowStore.save

    def save_and_pause(store):
        save(store)
        while pause and len(store.done) >= pause and not os.path.exists("go"):
            time.sleep(0.01)

    RowStore.save = save_and_pause
    runtime = Runtime(checkpoint_every=0, hang_after=60)
    with logged_to(log):
        outputs = ("out/shard.json", "out/speed.json")
        embed_shard(packs, "model.json", bundled_checkpoint(), settings, runtime, *outputs)

import_evo2()
for line in sys.stdin:
    order = json.loads(line)
    if "wait" in order:
        pid, status = os.waitpid(order["wait"], 0 if order["block"] else os.WNOHANG)
        print(json.dumps(os.waitstatus_to_exitcode(status) if pid else None), flush=True)
        continue
    pid = os.fork()
    if not pid:
        run(**order)
        os._exit(0)
    print(pid, flush=True)
"""
COMPLEMENT = str.maketrans("ACGT", "TGCA")
SCORED = {"scores": True, "skip_first": 50}
PACKS, TOKENS = 24, 500  # of the first shard, and of each of its packs


@pytest.fixture(scope="module")
def ask():
    """A function that sends an order to the process of `JOBS`, and gives its answer."""
    process = subprocess.Popen(
        [sys.executable, "-c", JOBS],
        env={**os.environ, "PYTHONPATH": str(SCRIPTS)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def ask(**order):
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    yield ask
    process.communicate()


class Job:
    """An embedding job of a folder's shard, in a process of its own."""

    def __init__(self, shard, packs="g/00000.parquet", log="log", pause=0):
        self.shard, self.log = shard, log
        order = {"folder": str(shard.folder), "packs": packs, "log": log, "pause": pause}
        self.pid = shard.ask(**order, settings=shard.settings)

    def status(self, block=False):
        """Exit status of the process; None while it runs."""
        return self.shard.ask(wait=self.pid, block=block)

    def send(self, number):
        os.kill(self.pid, number)

    def read_log(self):
        path = self.shard.folder / self.log
        return path.read_text() if path.exists() else ""


class Shard:
    """A folder with the inputs of embedding jobs, and what they make."""

    def __init__(self, folder, settings, ask):
        self.folder, self.settings, self.ask = folder, settings, ask
        self.work = folder / "out" / ".work"

    def start_and_pause(self, packs):
        """A job that saves after every pack, and waits for the file `go` after this many."""
        job = Job(self, pause=packs)
        deadline = time.monotonic() + 100
        while self.saved() < packs:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return job

    def go_on(self):
        """Let the job that waits go on."""
        (self.folder / "go").touch()

    def saved(self):
        """Packs in the journal."""
        path = self.work / JOURNAL
        return len(json.loads(path.read_text())["packs"]) if path.exists() else 0

    def run(self, fails=False, **options):
        """Run a job to its end; its lines on the terminal, and its log."""
        job = Job(self, **options)
        status, errors = job.status(block=True), (self.folder / "errors").read_text()
        assert (status != 0) == fails, errors
        return errors, job.read_log()

    def outputs(self):
        """Contents of the files that are the same in any run."""
        files = (self.folder / "out").iterdir()
        return {path.name: path.read_bytes() for path in files if path.name != "speed.json"}


def prepare(folder, ask, vcf=None, **changes):
    """Pack files of two shards, and what an undisturbed job makes of the first."""
    folder.mkdir()
    before = os.getcwd()
    os.chdir(folder)
    write_fasta("g.fa", [("g", random_bases(12_000, 5))])
    (folder / "genomes.tsv").write_text("genome\tfasta\ng\tg.fa\n")
    run = plan_run(merged(CONFIG, changes))
    windows, genomes = run.settings.windows.to_dict(), [Genome("g", "g.fa")]
    sections = {}
    if vcf:
        (folder / "g.vcf").write_text(vcf)
        genomes = [Genome("g", "g.fa", variants="g.vcf")]
        sections["variants"] = run.settings.variants.to_dict()
    chunk_bundle(genomes, windows, "indexes", "g.parquet", 1, **sections)
    packing = {"packing": run.settings.packing.to_dict(), "code": 1}
    for number in range(2):
        packs = f"g/{number:05d}.parquet"
        pack_shard(genomes, "g.parquet", number, 2, packing, "indexes", packs)
    fetch_model(Model(), "models", "model.json")
    os.chdir(before)
    shard = Shard(folder, run.embed_settings("default"), ask)
    shard.run()
    shard.expected = shard.outputs()
    assert not shard.work.exists()
    shutil.rmtree(folder / "out")
    return shard


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, ask):
    return prepare(
        tmp_path_factory.mktemp("resume") / "prepared",
        ask,
        windows={"size": 125, "strands": "both"},
        packing={"max_tokens": TOKENS},
        extractions={"default": {"layers": ["blocks.0", "blocks.2"]}},
    )


@pytest.fixture
def shard(prepared, tmp_path):
    folder = tmp_path / "shard"
    shutil.copytree(prepared.folder, folder)
    shard = Shard(folder, prepared.settings, prepared.ask)
    shard.expected = prepared.expected
    return shard


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_an_ended_job_goes_on_to_the_same_bytes(shard, how):
    job = shard.start_and_pause(3)
    job.send(how)
    shard.go_on()
    assert job.status(block=True) == (1 if how == signal.SIGTERM else -how)
    saved = shard.saved()
    assert 3 <= saved < PACKS
    assert os.listdir(shard.folder / "out") == [".work"]
    if how == signal.SIGTERM:
        said = f"stopped by SIGTERM: {TOKENS * saved:,} of {TOKENS * PACKS:,} tokens are saved"
        assert said in job.read_log()
    _, log = shard.run()
    said = f"continuing from {TOKENS * saved} of {TOKENS * PACKS} tokens; 0 of {saved} packs"
    assert said in log
    assert shard.outputs() == shard.expected
    assert not shard.work.exists()


def test_a_killed_job_runs_open_stretches_again_to_the_same_bytes(tmp_path, ask):
    context = {"span": 2750, "min": 250}
    shard = prepare(
        tmp_path / "prepared",
        ask,
        windows={"size": 125, "stride": 62, "strands": "both", "context": context},
        packing={"max_tokens": 500, "piece": 325},
        extractions={"default": {"layers": ["blocks.0"], "pooling": {"center": 40}, **SCORED}},
    )
    job = shard.start_and_pause(4)
    job.send(signal.SIGKILL)
    job.status(block=True)
    _, log = shard.run()
    assert "finished packs run again: their stretches were not finished" in log
    assert shard.outputs() == shard.expected
    assert sorted(shard.expected) == ["blocks.0.parquet", "scores.parquet", "shard.json"]


# Insertions, deletions and others, as (position from 1, bases of the reference, alternate).
CHANGES = [
    (700, 1, "TTACG"),
    (1200, 31, "A"),
    (1530, 1, "ACGTT" * 12),
    (2105, 4, "GGTA"),
    (2600, 7, "CCC"),
    (3010, 3, "GTTTTTTTTA"),
]


def vcf_of(bases, positions):
    """SNVs at positions, from 1; of three alternates each; and `CHANGES`."""
    lines = ["##fileformat=VCFv4.2", f"##contig=<ID=g,length={len(bases)}>"]
    lines.append("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO")
    for position in positions:
        base = bases[position - 1]
        others = ",".join(x for x in "ACGT" if x != base)
        lines.append(f"g\t{position}\tsnv{position}\t{base}\t{others}\t.\t.\t.")
    for position, size, alternate in CHANGES:
        reference = bases[position - 1 : position - 1 + size]
        lines.append(f"g\t{position}\t.\t{reference}\t{alternate}\t.\t.\t.")
    return "\n".join(lines) + "\n"


def prepare_variants(folder, ask, share, **context):
    return prepare(
        folder / "prepared",
        ask,
        vcf=vcf_of(random_bases(12_000, 5), [*range(500, 6000, 450), 3000, 3010]),
        windows={"strands": "both", **context},
        variants={"size": 400, "share": share},
        packing={"max_tokens": TOKENS, "piece": 325},
        extractions={"default": {"layers": ["blocks.0", "blocks.3"], "pooling": "mean", **SCORED}},
    )


@pytest.fixture(scope="module")
def forked(tmp_path_factory, ask):
    """A shard of alternates that are forks of reference windows."""
    return prepare_variants(tmp_path_factory.mktemp("forks"), ask, "window")


@pytest.fixture(scope="module")
def along_the_contig(tmp_path_factory, ask):
    """One of alternates that are forks of stretches along the contig."""
    context = {"span": 1900, "min": 300}
    return prepare_variants(tmp_path_factory.mktemp("contig"), ask, "contig", context=context)


@pytest.fixture(scope="module")
def unshared(tmp_path_factory, ask):
    """One of alternates that run whole."""
    return prepare_variants(tmp_path_factory.mktemp("none"), ask, "none")


def seen_by(bases, variant, allele, strand, context):
    """The bases up to the end of a window, 200 behind the variant's first, in the direction of the
    strand: at most `context` bases."""
    _, position, reference, alternate = variant.split(":")
    before, behind = bases[: int(position) - 1], bases[int(position) - 1 + len(reference) :]
    letters = reference if allele == "ref" else alternate
    assert before + reference + behind == bases
    if strand == "-":
        turned = (part.translate(COMPLEMENT)[::-1] for part in (behind, letters, before))
        before, letters, behind = turned
    return (before + (letters + behind)[:200])[-context:]


@pytest.mark.parametrize("share", ["forked", "along_the_contig", "unshared"])
def test_rows_of_variants_are_those_of_the_whole_allele(share, request):
    forked = request.getfixturevalue(share)
    torch.set_num_threads(1)
    evo2 = load_model(registry.TINY, registry.bundled_checkpoint(), "fp32")
    layers = ["blocks.0", "blocks.3", "scores"]
    checked = json.loads(forked.expected["shard.json"])["self_check"]
    assert ("fork" in checked) == (share != "unshared")
    bases, exact = random_bases(12_000, 5), in_float64(evo2)
    chunks = pl.read_parquet(forked.folder / "g.parquet")
    assert chunks["parent"].is_not_null().sum() > 60 or share == "unshared"
    assert (chunks["context"].max() > 1500) == (share == "along_the_contig")
    found = {
        layer: pl.read_parquet(io.BytesIO(forked.expected[f"{layer}.parquet"])).sort("chunk")
        for layer in [*layers, *(f"{layer}.downstream" for layer in layers)]
    }
    rows = chunks.filter(pl.col("chunk").is_in(found["blocks.0"]["chunk"].implode()))
    assert len(rows) == len(found["blocks.0"]) > 60
    positions = [int(variant.split(":")[1]) for variant in rows["variant"]]
    changed = [i for i, row in enumerate(rows["id"]) if row is None]
    assert {positions[i] for i in changed} >= {700, 1200, 1530, 2105, 2600}
    assert set(rows["strand"][changed]) >= {"+"}
    keys = ["genome", "contig", "start", "end", "strand", "variant", "id", "allele", "context"]
    wanted = rows.select(keys).cast({"context": pl.Int32, "genome": pl.String, "contig": pl.String})
    for layer in found:
        mine = found[layer].select(keys).cast({"genome": pl.String, "contig": pl.String})
        assert mine.equals(wanted)
    for number in sorted({*range(0, len(rows), 17), *changed[::2]}):
        row = rows.row(number, named=True)
        variant = (row[key] for key in ("variant", "allele", "strand", "context"))
        text = seen_by(bases, *variant)
        assert len(text) == row["context"] >= 400
        tokens = np.frombuffer(text.encode(), np.uint8)
        stock, double = (alone(model, tokens, layers) for model in (evo2, exact))
        for layer in layers[:2]:
            bound = FACTOR * (stock[layer].double() - double[layer]).abs().max()
            wanted = stock[layer][max(50, len(text) - 400) :].double().mean(0).numpy()
            mine = np.array(found[layer]["embedding"][number], float)
            assert np.abs(mine - wanted).max() <= bound, (layer, row)
            wanted = stock[layer][-200:].double().mean(0).numpy()
            mine = np.array(found[f"{layer}.downstream"]["embedding"][number], float)
            assert np.abs(mine - wanted).max() <= bound, (layer, row)
        bound = FACTOR * (stock["scores"] - double["scores"]).abs().max() * len(tokens)
        assert abs(found["scores"]["sum"][number] - float(stock["scores"][-400:].sum())) <= bound
        sums = found["scores.downstream"].row(number, named=True)
        assert abs(sums["sum"] - float(stock["scores"][-200:].sum())) <= bound
        assert sums["scored"] == 200


@pytest.mark.parametrize("saved", [3, 9])
def test_a_killed_job_of_forks_goes_on_to_the_same_bytes(forked, tmp_path, saved):
    folder = tmp_path / "shard"
    shutil.copytree(forked.folder, folder)
    shard = Shard(folder, forked.settings, forked.ask)
    job = shard.start_and_pause(saved)
    job.send(signal.SIGKILL)
    job.status(block=True)
    _, log = shard.run()
    assert "finished packs run again: their stretches were not finished" in log
    assert shard.outputs() == forked.expected


def test_other_settings_and_other_packs_do_not_go_on(shard):
    job = shard.start_and_pause(2)
    job.send(signal.SIGKILL)
    job.status(block=True)
    shutil.copy(shard.folder / "g" / "00001.parquet", shard.folder / "g" / "kept.parquet")
    _, log = shard.run(packs="g/00001.parquet")
    assert "is of other packs, weights or settings: starting from the first pack" in log
    assert "continuing from" not in log
    assert shard.outputs() != shard.expected


@pytest.fixture
def two(shard):
    """Two jobs of one shard: the first, stopped in the middle of its work, and one that waits."""
    first = shard.start_and_pause(2)
    first.send(signal.SIGSTOP)
    second = Job(shard, log="second.log")
    deadline = time.monotonic() + 50
    while "waiting" not in second.read_log():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert f"held by process {first.pid} on" in second.read_log()
    return first, second


def test_two_jobs_of_one_shard_do_its_work_once(shard, two):
    first, second = two
    shard.go_on()
    first.send(signal.SIGCONT)
    assert first.status(block=True) == second.status(block=True) == 0
    assert "another process finished this shard in the meantime" in second.read_log()
    assert "continuing from" not in second.read_log()
    assert shard.outputs() == shard.expected
    assert not shard.work.exists()


def test_a_second_job_takes_over_from_a_killed_one(shard, two):
    first, second = two
    saved = shard.saved()
    first.send(signal.SIGKILL)
    assert first.status(block=True) == -signal.SIGKILL
    assert second.status(block=True) == 0
    said = f"continuing from {TOKENS * saved} of {TOKENS * PACKS} tokens"
    assert said in second.read_log()
    assert shard.outputs() == shard.expected
    assert not shard.work.exists()


def test_a_pack_file_in_another_one_s_place_is_refused(shard):
    shutil.copy(shard.folder / "g" / "00001.parquet", shard.folder / "g" / "00000.parquet")
    said, _ = shard.run(fails=True)
    assert said.startswith(
        "error: g/00000.parquet: holds the packs of another shard (g/00001); delete"
    )
    assert not shard.work.exists()


def test_a_damaged_pack_file_is_refused(shard):
    path = shard.folder / "g" / "00000.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    path.write_bytes(content)
    said, _ = shard.run(fails=True)
    assert said.startswith(
        "error: g/00000.parquet: damaged or changed since it was written; delete"
    )


@pytest.mark.parametrize("saved", [True, False])
def test_a_job_that_may_not_write_leaves_only_the_work_of_others(tmp_path, saved):
    def refuse():
        raise InputError("writes nothing")

    work = tmp_path / ".work"
    work.mkdir()
    if saved:
        (work / JOURNAL).write_text("{}")
    with checked_writes(refuse), pytest.raises(InputError, match="writes nothing"):
        _check_still_wanted(work)
    assert work.exists() == saved
