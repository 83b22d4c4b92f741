"""Check the files of a run: all that carry a digest, or are in a record, are read."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from evo2_embed.io.digests import file_sha256
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import read_json
from evo2_embed.io.integrity import is_sealed
from evo2_embed.run.frozen import Run
from evo2_embed.run.record_files import RecordedFile, recorded_files
from evo2_embed.settings.exports import FORMATS

_THREADS = 4
# Rules whose files a run is for; a rerun redoes the others only if one of these needs them.
_FINAL = (
    *("aggregate_embeddings", "aggregate_scores", "compare_alleles", "fuse_layers"),
    *("save_probe", "apply_heads"),
    *("write_manifest", "write_finetune", "probe_layers", "write_report"),
    *(f"export_{name}" for name in (*FORMATS, "bigwig")),
)


@dataclass
class Verified:
    """What a check found.

    Attributes
    ----------
    files : int
        Number of files read.
    size : int
        Their bytes.
    faults : list of str
        One line per file that is lost or damaged, with what to delete.
    """

    files: int = 0
    size: int = 0
    faults: list[str] = field(default_factory=list)


def verify_run(run: Run, results: Path, benchmarks: Path) -> Verified:
    """Read all files of a run that carry a digest or are in a record.

    Parameters
    ----------
    run : Run
        The latest run of the folder.
    results : Path
        Its folder of results. Files of earlier runs in it are checked as well.
    benchmarks : Path
        Folder of the benchmarks, which tell the jobs that finished.
    """
    found = Verified(faults=list(_lost_outputs(run, results, benchmarks)))
    recorded: dict[Path, RecordedFile] = {}
    for path in sorted(results.rglob("*.json")):
        if _is_hidden(path, results) or _is_of_lance(path, results):
            continue
        _count(found, path)
        try:
            record = read_json(path)
        except InputError as error:
            found.faults.append(str(error))
            continue
        used = [*_parameters(path, record, results), *_saved_probe(run, path, record, results)]
        for file in [*recorded_files(path, record), *used]:
            recorded[file.path] = file
    # Part files carry no digest of their own: without a record there is nothing to compare.
    tables = (path for path in sorted(results.rglob("*.parquet")) if path.name[:5] != "part-")
    others = (path for path in tables if path not in recorded and not _is_hidden(path, results))
    paths = [*recorded, *others]
    with ThreadPoolExecutor(_THREADS) as pool:
        checked = pool.map(lambda path: _fault(path, recorded.get(path)), paths)
        for path, fault in zip(paths, checked, strict=True):
            if fault is not None:
                found.faults.append(fault)
            if path.is_file():
                _count(found, path)
    return found


def _lost_outputs(run: Run, results: Path, benchmarks: Path) -> Iterator[str]:
    """Lines for missing results of jobs that finished."""
    for job in (job for rule in _FINAL for job in run.jobs(rule)):
        if (benchmarks / job.benchmark).exists():
            for output in job.outputs.values():
                if not (results / output).exists():
                    yield f"{results / output}: lost; rerun to redo it"


def _parameters(path: Path, record: dict, results: Path) -> Iterator[RecordedFile]:
    """The parameters of a fused dataset, which its record has the digest of."""
    if "parameters_sha256" in record.get("fusion", {}):
        file = results / "fusions" / path.parent.name / f"{path.stem}.npz"
        yield RecordedFile(file, record["fusion"]["parameters_sha256"], None, file)


def _saved_probe(run: Run, path: Path, record: dict, results: Path) -> Iterator[RecordedFile]:
    """The probe of the run that a head's dataset was made with, which its record has the digest
    of."""
    if path.parent.parent != results / "heads":
        return
    extraction, head = path.parent.name, record["head"]
    chosen = run.settings.extractions.get(extraction)
    if chosen and head["name"] in chosen.heads and chosen.heads[head["name"]].file is None:
        file = results / "probes" / extraction / f"{head['layer']}.safetensors"
        yield RecordedFile(file, head["sha256"], None, file)


def _fault(path: Path, recorded: RecordedFile | None) -> str | None:
    """What is wrong with a file, in one line; None if nothing is."""
    redo = recorded.redo if recorded else path
    how = f"delete {redo} and rerun to redo it"
    if not path.is_file():
        return f"{path}: lost; {how}"
    if recorded is None:
        return None if is_sealed(path) else f"{path}: damaged or not of a run; {how}"
    if file_sha256(path) != recorded.sha256:
        return f"{path}: damaged or changed since it was written; {how}"
    return None


def _is_hidden(path: Path, results: Path) -> bool:
    """Whether a file is saved work or in writing."""
    return any(part.startswith(".") for part in path.relative_to(results).parts)


def _is_of_lance(path: Path, results: Path) -> bool:
    """Whether a file is in the folder of a table of LanceDB, which has JSON files of its own."""
    parts = path.relative_to(results).parts
    return parts[:2] == ("export", "lance") and len(parts) > len(("export", "lance", "a", "b.json"))


def _count(found: Verified, path: Path) -> None:
    found.files += 1
    found.size += path.stat().st_size
