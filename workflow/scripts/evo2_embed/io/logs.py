"""One way for every script to log: to the rule's log file, tracebacks included."""

import logging
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from evo2_embed.io.errors import InputError, Stopped

log = logging.getLogger("evo2_embed")


@contextmanager
def logged_to(path: str) -> Iterator[None]:
    """Send logging, warnings, prints and tracebacks of the block to `path`, and end the process
    with status 1 when the block fails.

    A fault in the user's input (`InputError`), and a stop that was asked for, is one line in the
    log and on the terminal; any other exception leaves its traceback in the log and its last line
    on the terminal.
    """
    terminal = os.dup(2)
    handle = open(path, "w", buffering=1)  # noqa: SIM115 - logged to until the process ends
    logging.basicConfig(
        stream=handle,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
        force=True,
    )
    logging.captureWarnings(True)
    # Prints, too, and what C libraries say.
    os.dup2(handle.fileno(), 1)
    os.dup2(handle.fileno(), 2)
    try:
        yield
    except (InputError, Stopped) as error:
        _say(terminal, f"error: {error}")
        log.error("%s", error)
        _end()
    except Exception as error:
        _say(terminal, f"error: {type(error).__name__}: {error} (traceback: {path})")
        handle.write(traceback.format_exc())
        _end()


def _say(terminal: int, line: str) -> None:
    os.write(terminal, (" ".join(line.split("\n")) + "\n").encode(errors="replace"))


def _end() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: the caller would add a traceback of its own to the terminal.
    os._exit(1)
