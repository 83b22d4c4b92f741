"""A campaign of faults against real runs: kills, full disks, damaged files, hangs, second runs.

Each fault hits its own run at a random moment. The run must then succeed, or end with an error that
says what to do. The campaign does that and starts the run again. The trial passes if the dataset
equals, byte for byte, that of an undisturbed run. `make soak` prints a table.
"""

import argparse
import collections
import random
import shutil
import statistics
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tabulate import tabulate

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / folder) for folder in ("tests", "workflow/scripts")]

from runs import ROOT, Workflow, random_bases, write_fasta  # noqa: E402
from soak.faults import FAULTS, OF_DELETED  # noqa: E402
from soak.trial import Trial  # noqa: E402

TARGET = "results/embeddings/default/manifest.json"
SETTINGS = {
    "windows": {"size": 1000},
    "packing": {"max_tokens": 2000},
    # Two shards of lambda, and one of small genomes.
    "sharding": {"shard_tokens": 50_000},
    "on_bad_genome": "skip",
    "runtime": {"checkpoint_every": 1, "hang_after": 40},
    # A few MB of rows, so that a disk can become full at any stage.
    "extractions": {"default": {"layers": ["blocks.6.mlp.l3"], "pooling": {"bin": 10}}},
}
SMALL = ("first", "bad", "second")
HEADS = ("fault", "times", "how the run ended", "embedding repeated (s): median, most")


def prepare(folder: Path, keep: str, small: tuple[str, ...]) -> Workflow:
    """A working folder with lambda, small genomes (`bad` cannot be used), and its own weights."""
    flow = Workflow(folder)
    for name in ("lambda.fa.gz", "evo2_tiny.pt"):
        shutil.copy(ROOT / "resources" / name, folder)
    for name in small:
        bases = random_bases(4000, name)
        write_fasta(folder / f"{name}.fa", [("c", bases if name != "bad" else "MKV*")])
    flow.sheet({"lambda": "lambda.fa.gz", **{name: f"{name}.fa" for name in small}})
    flow.configure(**SETTINGS, keep=keep, model={"checkpoint": "evo2_tiny.pt"})
    return flow


class Campaign:
    """Trials, each in a copy of a prepared folder, compared with an undisturbed run."""

    def __init__(self, folder: Path, seed: int, keep: str, small: tuple[str, ...] = SMALL):
        self.folder, self.random = folder, random.Random(seed)
        self.fresh = prepare(folder / "fresh", keep, small)
        self.finished = self.fresh.copy_to(folder / "finished")
        started = time.monotonic()
        self.finished.run(TARGET)
        self.seconds = time.monotonic() - started
        self.expected = self.finished.dataset()
        self.results, self.trials = [], 0

    def trial(self, name: str) -> Trial:
        """Run one trial with a fault; AssertionError if the dataset differs."""
        self.trials += 1
        folder = self.folder / f"{self.trials:03d}-{name.replace(' ', '-').replace('/', '-')}"
        trial = Trial(self, folder, TARGET, self.seconds, random.Random(self.random.random()))
        try:
            FAULTS[name](trial)
            trial.finish()
        finally:
            trial.clean_up()
        found = trial.flow.dataset()
        changed = sorted(
            path for path in found | self.expected if found.get(path) != self.expected.get(path)
        )
        assert not changed, (name, changed)
        left = [str(path) for path in (trial.flow.folder / "results").rglob(".*")]
        assert not left, (name, left)
        self.results.append((name, trial.outcome, trial.repeated))
        shutil.rmtree(trial.folder)
        return trial

    def table(self) -> str:
        """The results, one row per fault."""
        rows = []
        for name in dict.fromkeys(name for name, *_ in self.results):
            outcomes = collections.Counter(o for n, o, _ in self.results if n == name)
            repeated = [r for n, _, r in self.results if n == name and r is not None]
            middle = f"{statistics.median(repeated):.1f}, {max(repeated):.1f}" if repeated else "-"
            shown = "; ".join(f"{outcome} ({count})" for outcome, count in outcomes.items())
            rows.append((name, sum(outcomes.values()), shown, middle))
        return tabulate(rows, headers=HEADS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=60, help="number of trials")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="only faults with this text in their name")
    parser.add_argument("--first", type=int, default=0, help="start with this fault (its number)")
    parser.add_argument(
        "--keep",
        choices=["all", "datasets"],
        default="all",
        help="datasets: pack files and shards are deleted in the run; faults of them are left out",
    )
    arguments = parser.parse_args()
    gone = () if arguments.keep == "all" else OF_DELETED
    names = [name for name in FAULTS if (arguments.only or "") in name and name not in gone]
    with tempfile.TemporaryDirectory(prefix="evo2-embed-soak.") as folder:
        campaign = Campaign(Path(folder), arguments.seed, arguments.keep)
        print(f"undisturbed: {campaign.seconds:.0f} s", flush=True)
        failed = 0
        for number in range(arguments.first, arguments.first + arguments.faults):
            name = names[number % len(names)]
            try:
                trial = campaign.trial(name)
                print(f"{number}: {campaign.results[-1]}: {trial.said}", flush=True)
            except Exception:
                failed += 1
                print(f"{number}: {name}: FAILED\n{traceback.format_exc()}", flush=True)
        print(f"\n{campaign.table()}\n")
        print(f"{len(campaign.results)} passed, {failed} failed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
