"""Whether Triton interprets kernels, for tests on a CPU. Needs no torch."""

import os


def is_interpreted() -> bool:
    """Whether kernels run in Triton's interpreter in this process."""
    return os.environ.get("TRITON_INTERPRET") == "1"
