"""The one exception that means: the user's input is at fault, and the message says how."""


class InputError(ValueError):
    """Bad input: one line that names the file, record, line or key, and what is allowed."""
