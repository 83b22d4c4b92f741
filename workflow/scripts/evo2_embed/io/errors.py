"""Exceptions that the user sees as one line, without a traceback."""


class InputError(ValueError):
    """Bad input: one line that names the file, record, line or key, and what is allowed."""


class InputErrors(InputError):
    """Several faults, one line each."""

    def __init__(self, lines: list[str]):
        super().__init__("\n".join(lines))
        self.lines = lines


class MachineError(InputError):
    """A fault of the machine, in one line: no fault of the input, which may be good.

    A disk that is full, a file that may not be read, a file server that does not answer.
    """


class Stopped(Exception):
    """A signal stopped the work, after it was saved."""
