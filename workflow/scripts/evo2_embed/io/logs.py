"""Logging of all scripts: to the rule's log file, with tracebacks."""

import logging
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from evo2_embed.io.errors import InputError, InputErrors, Stopped
from evo2_embed.io.text import MESSAGE, printable, shown

log = logging.getLogger("evo2_embed")


@contextmanager
def logged_to(path: str) -> Iterator[None]:
    """Send logging, warnings, prints and tracebacks of the block to `path`. If the block fails, end
    the process with status 1.

    An error in the user's input (`InputError`) gives one line in the log and on the terminal
    (`InputErrors`: one per fault), and so does a stop by a signal. Any other exception writes its
    traceback to the log and its last line to the terminal.
    """
    terminal = os.dup(2)
    handle = open(path, "w", encoding="utf-8", buffering=1)  # noqa: SIM115 - logged to until the process ends
    logging.basicConfig(
        stream=handle,
        level=logging.INFO,
        force=True,
    )
    logging.getLogger().handlers[0].setFormatter(_Formatter())
    logging.captureWarnings(True)
    # Also prints, and messages of C libraries.
    os.dup2(handle.fileno(), 1)
    os.dup2(handle.fileno(), 2)
    try:
        yield
    except (InputError, Stopped) as error:
        for line in error.lines if isinstance(error, InputErrors) else [str(error)]:
            _say(terminal, f"error: {line}")
            log.error("%s", line)
        _end()
    except Exception as error:
        _say(terminal, f"error: {type(error).__name__}: {error} (traceback: {path})")
        handle.write(_printable_lines(traceback.format_exc()))
        _end()


class _Formatter(logging.Formatter):
    """A line with time and level; what a terminal would obey is escaped."""

    def __init__(self):
        super().__init__("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        return _printable_lines(super().format(record))


def _printable_lines(text: str) -> str:
    return "\n".join(map(printable, text.split("\n")))


def _say(terminal: int, line: str) -> None:
    line = shown(" ".join(line.split("\n")), MESSAGE)
    os.write(terminal, f"{line}\n".encode())


def _end() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: the caller would print a traceback to the terminal.
    os._exit(1)
