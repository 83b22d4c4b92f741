"""Exceptions that the user sees as one line, without a traceback."""


class InputError(ValueError):
    """Bad input: one line that names the file, record, line or key, and what is allowed."""


class Stopped(Exception):
    """A signal stopped the work, after it was saved."""
