"""The exceptions that are one line to the user, and no traceback."""


class InputError(ValueError):
    """Bad input: one line that names the file, record, line or key, and what is allowed."""


class Stopped(Exception):
    """A signal asked for an end, and the work stopped in good order."""
