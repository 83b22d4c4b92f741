"""A polite end: a signal asks, and the work stops at the next good place."""

import signal
from types import FrameType

# SIGTERM: a time limit, preemption, scancel, kill. SIGINT: Ctrl-C. SIGUSR1: a cluster's early
# warning, where it was asked for (`sbatch --signal=USR1@60`).
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class StopSignal:
    """Within the block, the signals are noted instead of ending the process."""

    def __init__(self):
        self.name: str | None = None

    def __enter__(self) -> "StopSignal":
        self.before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *error) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.name = signal.Signals(number).name
