"""The faults of the campaign."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
from evo2_embed.run.status import saved_work
from soak.trial import TIMEOUT, Trial

# The stages of a run of the campaign.
STAGES = (
    *("chunk_fasta", "pack_tokens", "embed_shard"),
    *("aggregate_bundle", "aggregate_embeddings", "write_manifest"),
)
SOAK = Path(__file__).resolve().parent

# Folders of files made from shards, from packs, and from chunk tables.
BELOW_SHARDS = ("bundles", "embeddings")
BELOW_PACKS = ("shards", *BELOW_SHARDS)
BELOW_CHUNKS = ("packs", *BELOW_PACKS)


def kill_job(trial: Trial) -> None:
    trial.begin()
    trial.start()
    trial.at_any_moment()
    trial.kill(*trial.jobs())
    trial.end()


def kill_embedding(trial: Trial) -> None:
    trial.begin()
    trial.start()
    trial.kill(*trial.while_embedding())
    if trial.end():
        # Nothing is saved if the job had saved nothing and another one finished its shard.
        saved = saved_work(trial.flow.folder / "results")
        said = f"saved work of embedding jobs is kept ({saved})" in trial.output.read_text()
        assert said == bool(saved)


def kill_all(trial: Trial) -> None:
    trial.begin()
    trial.start()
    trial.at_any_moment()
    trial.kill(trial.process, *trial.jobs())
    trial.end()
    trial.outcome = "killed, rerun"
    trial.unlock()


def kill_main(trial: Trial) -> None:
    """The jobs continue as orphans, together with those of the next run."""
    trial.begin()
    trial.start()
    trial.at_any_moment()
    trial.kill(trial.process)
    trial.end()
    trial.outcome = "killed, rerun beside orphans" if trial.jobs() else "killed, rerun"
    trial.unlock()


def move_project(trial: Trial) -> None:
    """The folder gets another name after a kill; its paths of FASTA files become absolute."""
    kill_all(trial)
    trial.rename(f"{trial.folder} moved")
    rows = (trial.folder / "genomes.tsv").read_text().splitlines()[1:]
    files = dict(row.split("\t")[:2] for row in rows)
    trial.flow.sheet({name: trial.folder / file for name, file in files.items()})
    trial.outcome = "killed, moved, rerun"


def terminate_job(trial: Trial) -> None:
    trial.begin()
    trial.start()
    trial.kill(*trial.while_embedding(), how=signal.SIGTERM)
    trial.end()


def terminate_main(trial: Trial) -> None:
    trial.begin()
    trial.start()
    trial.at_any_moment()
    trial.kill(trial.process, how=signal.SIGTERM)
    # Below 0: ended while it started, before Snakemake takes signals.
    if trial.end() > 0:
        output = trial.output.read_text()
        assert "no job failed: run again to continue" in output, output


def interrupt(trial: Trial) -> None:
    """Ctrl-C: the signal goes to Snakemake and its jobs."""
    trial.begin()
    trial.start()
    trial.at_any_moment()
    trial.kill(trial.process, *trial.jobs(), how=signal.SIGINT)
    trial.end()
    if trial.process.returncode:
        trial.outcome = "stopped, rerun"
        trial.unlock()


def mount(trial: Trial, size: str) -> Path:
    """Put the results of a fresh folder on a separate disk."""
    trial.begin()
    results = trial.flow.folder / "results"
    results.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", results], check=True)
    trial.undo.append(lambda: unmount(results))
    return results


def resize(results: Path, size: str) -> None:
    """Change the size of the disk with the results."""
    subprocess.run(["mount", "-o", f"remount,size={size}", results], check=True)


def small_disk(trial: Trial) -> None:
    """A disk that is too small from the start."""
    results = mount(trial, f"{trial.random.randint(100, 6000)}k")
    trial.start()
    trial.end()
    resize(results, "1g")


def fill_disk(trial: Trial) -> None:
    """A disk that another program fills while embedding jobs run."""
    results = mount(trial, "1g")
    trial.start()
    trial.while_embedding()
    used = shutil.disk_usage(results).used >> 10
    resize(results, f"{used + trial.random.randint(8, 4000)}k")
    trial.end()
    resize(results, "1g")


def unmount(path: Path) -> None:
    """Replace a mounted folder by its content."""
    kept = path.with_name("kept")
    shutil.copytree(path, kept)
    subprocess.run(["umount", "-l", path], check=True)
    shutil.copytree(kept, path, dirs_exist_ok=True)
    shutil.rmtree(kept)


def make_read_only(trial: Trial) -> None:
    """Like a folder without write permission; for root, by an attribute."""
    trial.begin()
    folder = trial.flow.folder / "results" / trial.random.choice(["packs", "shards", "embeddings"])
    folder.mkdir(parents=True)
    subprocess.run(["chattr", "+i", folder], check=True)
    trial.undo.append(lambda: subprocess.run(["chattr", "-i", folder], check=True))
    trial.start()
    trial.end()
    trial.undo.pop()()


def remove_work_file(trial: Trial) -> None:
    kill_embedding(trial)
    files = sorted(trial.flow.folder.glob("results/shards/*/*/*/.work/*"))
    if files:
        trial.random.choice(files).unlink()


def flip_saved_work(trial: Trial) -> None:
    kill_embedding(trial)
    files = sorted(trial.flow.folder.glob("results/shards/*/*/*/.work/*"))
    saved = [file for file in files if file.stat().st_size and file.name != "lock"]
    if saved:
        flip(trial, saved)


def hang(trial: Trial) -> None:
    """A job that is stopped makes no progress; the watchdog ends it."""
    trial.begin()
    trial.start()
    trial.kill(*trial.while_embedding(), how=signal.SIGSTOP)
    trial.end()


def second_run(trial: Trial) -> None:
    trial.begin()
    first = trial.start()
    trial.while_embedding()
    trial.rerun(fails=True)
    assert "Lock" in trial.said, trial.said
    trial.outcome = "second refused, first continued"
    trial.process = first
    trial.end()


def second_run_without_lock(trial: Trial) -> None:
    trial.begin()
    first, output = trial.start(), trial.output
    trial.while_embedding()
    trial.start("--nolock", "--rerun-incomplete")
    trial.end()
    second, trial.process, trial.output = trial.process, first, output
    trial.end()
    trial.outcome = f"first {first.returncode}, second {second.returncode}"


def flip(trial: Trial, files: list[Path]) -> None:
    """Change a bit of one of the files."""
    path = trial.random.choice(files)
    content = bytearray(path.read_bytes())
    content[trial.random.randrange(len(content))] ^= 1 << trial.random.randrange(8)
    path.write_bytes(content)


def cut(trial: Trial, files: list[Path]) -> None:
    """Cut one of the files anywhere; also to nothing."""
    path = trial.random.choice(files)
    size = trial.random.choice([0, trial.random.randrange(path.stat().st_size)])
    os.truncate(path, size)


def swap(trial: Trial, files: list[Path]) -> None:
    """Exchange two of the files."""
    one, two = trial.random.sample(files, 2)
    content = one.read_bytes()
    shutil.copy(two, one)
    two.write_bytes(content)


def damage(pattern: str, how: Callable, below: tuple[str, ...]) -> Callable[[Trial], None]:
    """A fault: files are damaged in a run that was stopped before it read them.

    `below` are the folders of files made from them.
    """

    def fault(trial: Trial) -> None:
        trial.begin(finished=True, without=below)
        how(trial, sorted(trial.flow.folder.glob(f"results/{pattern}")))
        trial.rerun(fails=True)
        trial.outcome = "error says what to delete, rerun"
        while trial.process.returncode:
            trial.follow_advice()
            trial.said = ""
            trial.start()
            trial.end()

    return fault


def orphan(rule: str) -> Callable[[Trial], None]:
    """A fault: a job stops, its run is killed, and it wakes up in or after a run with other
    settings."""

    def fault(trial: Trial) -> None:
        trial.begin()
        trial.edit("size: 1000", "size: 500")
        trial.start()
        jobs = trial.while_running(rule)
        trial.kill(*jobs, how=signal.SIGSTOP)
        trial.kill(trial.process)
        trial.end()
        trial.unlock()
        trial.edit("size: 500", "size: 1000")
        trial.start()
        # The lock of a shard: the run waits for an embedding job that sleeps.
        if rule == "embed_shard" or trial.random.random() < 0.5:
            trial.at_any_moment()
            trial.outcome = "edited, woken in the next run"
        else:
            trial.end()
            trial.outcome = "edited, woken after the next run"
        trial.kill(*jobs, how=signal.SIGCONT)
        psutil.wait_procs(jobs, TIMEOUT)
        trial.end()
        trial.said = ""
        trial.start()
        while trial.end():
            trial.follow_advice()
            trial.outcome = f"{trial.outcome}, refused"
            trial.said = ""
            trial.start()

    return fault


def lose(pattern: str) -> Callable[[Trial], None]:
    """A fault: a file or folder of a finished run is deleted."""

    def fault(trial: Trial) -> None:
        trial.begin(finished=True)
        path = trial.random.choice(sorted(trial.flow.folder.glob(f"results/{pattern}")))
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        # Records are targets of a whole run, but not of the campaign's.
        trial.rerun(*([trial.inside(path)] if path.suffix == ".json" else []))
        assert "Nothing to be done" not in trial.output.read_text()
        trial.outcome = "lost, redone by the next run"

    return fault


def flip_finished(pattern: str) -> Callable[[Trial], None]:
    """A fault: a bit of a finished run flips; only a check of all files finds it."""

    def fault(trial: Trial) -> None:
        trial.begin(finished=True)
        flip(trial, sorted(trial.flow.folder.glob(f"results/{pattern}")))
        trial.verify()
        path = trial.follow_advice()
        trial.rerun(*([trial.inside(path)] if path.suffix == ".json" else []))
        trial.outcome = "named by make verify, redone"

    return fault


def rot_weights(trial: Trial) -> None:
    """One bit of the weights changes on the disk."""
    trial.begin(finished=True, without=BELOW_PACKS)
    path = trial.flow.folder / "evo2_tiny.pt"
    before, state = path.read_bytes(), path.stat()
    flip(trial, [path])
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    trial.rerun(fails=True)
    assert "evo2_tiny.pt: differs from the weights" in trial.said, trial.said
    trial.outcome = "error, weights restored, rerun"
    path.write_bytes(before)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def spoil_a_pack(trial: Trial) -> None:
    """A device that gives NaN or inf in one pack, and works again at the next run."""
    trial.begin()
    by = trial.random.choice(["nan", "inf", "-inf"])
    trial.flow.environment = {
        "PYTHONPATH": f"{SOAK / 'not_finite'}:{SOAK.parent}",
        "SPOILED_PACK": str(trial.random.randrange(12)),
        "SPOILED_BY": by,
    }
    trial.start()
    assert trial.end()
    assert {"nan": "NaN in"}.get(by, "infinite values (inf) in") in trial.said, trial.said
    trial.outcome = "error names pack and cause, rerun"
    trial.flow.environment = {}


FAULTS: dict[str, Callable[[Trial], None]] = {
    "kill -9 of the jobs": kill_job,
    "kill -9 of an embedding job": kill_embedding,
    "kill -9 of Snakemake": kill_main,
    "kill -9 of both": kill_all,
    "project moved in mid-run": move_project,
    "SIGTERM to an embedding job": terminate_job,
    "SIGTERM to Snakemake": terminate_main,
    "Ctrl-C": interrupt,
    "disk too small": small_disk,
    "disk full in mid-run": fill_disk,
    "folder read-only": make_read_only,
    "work file removed": remove_work_file,
    "bit flipped in saved work": flip_saved_work,
    "bit flipped in a pack file": damage("packs/*/*.parquet", flip, BELOW_PACKS),
    "bit flipped in a chunk table": damage("chunks/*.parquet", flip, BELOW_CHUNKS),
    "bit flipped in a shard file": damage("shards/*/*/*/*.parquet", flip, BELOW_SHARDS),
    "bit flipped in a shard record": damage("shards/*/*/*/shard.json", flip, BELOW_SHARDS),
    "pack file cut": damage("packs/*/*.parquet", cut, BELOW_PACKS),
    "shard file cut": damage("shards/*/*/*/*.parquet", cut, BELOW_SHARDS),
    "pack files swapped": damage("packs/*/*.parquet", swap, BELOW_PACKS),
    "shard files swapped": damage("shards/*/*/*/*.parquet", swap, BELOW_SHARDS),
    "bit flipped in the weights": rot_weights,
    "NaN or inf in a pack": spoil_a_pack,
    **{f"{rule} wakes up after an edit": orphan(rule) for rule in STAGES},
    "part file lost": lose("embeddings/*/*/part-*.parquet"),
    "folder of a dataset lost": lose("embeddings/*/blocks.6.mlp.l3"),
    "record of a dataset lost": lose("embeddings/*/blocks*.json"),
    "record of a bundle lost": lose("bundles/*/*/blocks*.json"),
    "manifest lost": lose("embeddings/*/manifest.json"),
    "bit flipped in a part file": flip_finished("embeddings/*/*/part-*.parquet"),
    "bit flipped in the record of a dataset": flip_finished("embeddings/*/blocks*.json"),
    "bit flipped in the record of a bundle": flip_finished("bundles/*/*/blocks*.json"),
    "bit flipped in a manifest": flip_finished("embeddings/*/manifest.json"),
    "job hangs": hang,
    "second run": second_run,
    "second run without lock": second_run_without_lock,
}

# Faults that need the pack files and shards of a finished run.
OF_DELETED = tuple(
    name
    for name in FAULTS
    if re.match("(pack|shard) file|bit flipped in a (pack|shard|chunk table)|.*the weights", name)
)
