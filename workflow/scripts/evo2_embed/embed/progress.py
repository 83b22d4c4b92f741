"""How far an embedding job is, for `make status`: a small file beside its saved work.

It is not a result, and a job never fails because of it. The file of a dead job is ignored: the lock
of the job's log tells whether it is alive.
"""

import contextlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

PROGRESS = "progress.json"
EVERY = 1.0  # seconds between two updates


@dataclass(frozen=True)
class Progress:
    """How far a job is.

    Attributes
    ----------
    tokens, n_tokens : int
        Tokens that are embedded, by earlier processes too, and all of the shard.
    seconds : float
        Time of their packs, without the loading of the model.
    loaded : bool
        Whether the model is loaded.
    """

    tokens: int
    n_tokens: int
    seconds: float
    loaded: bool


class ProgressFile:
    """The file of a job, replaced at most once per `EVERY` seconds.

    Parameters
    ----------
    work : Path
        The work folder of the shard.
    """

    def __init__(self, work: Path):
        self.path, self._shown = work / PROGRESS, 0.0

    def show(self, progress: Progress, at_once: bool = False) -> None:
        """Replace the file, if it is time or `at_once`."""
        if not at_once and time.monotonic() - self._shown < EVERY:
            return
        self._shown = time.monotonic()
        temporary = self.path.with_name(f".{PROGRESS}.tmp")
        # Not `write_json`, which waits for the disk. A full disk is found by the rows.
        with contextlib.suppress(OSError):
            temporary.write_text(json.dumps(vars(progress)), encoding="utf-8")
            os.replace(temporary, self.path)


def read_progress(work: Path) -> Progress | None:
    """What a job in a work folder last said; None if it said nothing yet, as jobs of earlier
    versions do."""
    try:
        return Progress(**json.loads((work / PROGRESS).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
