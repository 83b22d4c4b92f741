"""A process that ends a job that makes no progress.

It is a separate process, because a job may hang in the GPU driver while it holds Python's global
lock, or may be stopped. It imports only the standard library.
"""

import contextlib
import faulthandler
import os
import select
import signal
import subprocess
import sys
import time

# The signal that makes the job print its tracebacks, and the seconds that it gets for this.
_DUMP, _GRACE = signal.SIGUSR2, 2
_STEPS = 20  # of waiting, see `watch`


class Watchdog:
    """Ends this process if `beat` is not called for `seconds`; 0: never.

    The reason and the tracebacks of all threads go to standard error.
    """

    def __init__(self, seconds: float):
        self.seconds, self.process = seconds, None

    def __enter__(self) -> "Watchdog":
        if self.seconds:
            faulthandler.register(_DUMP, file=sys.__stderr__, all_threads=True)
            command = [sys.executable, __file__, str(os.getpid()), str(self.seconds)]
            # In a group of its own: Ctrl-C is for the job, at whose end the watchdog ends.
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=2, process_group=0
            )
        return self

    def __exit__(self, *error) -> None:
        if self.process is None:
            return
        self.process.stdin.close()
        self.process.wait()
        faulthandler.unregister(_DUMP)
        self.process = None

    def beat(self) -> None:
        """Report progress."""
        if self.process is None:
            return
        # If the watchdog is gone, the job continues without it.
        with contextlib.suppress(BrokenPipeError):
            os.write(self.process.stdin.fileno(), b".")


def watch(pid: int, seconds: float) -> None:
    """Read beats from standard input until it closes; end `pid` after `seconds` without one.

    Time is counted in steps, so a pause of the whole machine or of both processes counts as one.
    """
    silent = 0
    while silent < _STEPS:
        if select.select([sys.stdin], [], [], seconds / _STEPS)[0]:
            if not os.read(sys.stdin.fileno(), 4096):
                return
            silent = 0
        else:
            silent += 1
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    print(
        f"{now} ERROR no progress for {seconds:g} s (runtime.hang_after): ending this job",
        flush=True,
    )
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, _DUMP)
        time.sleep(_GRACE)
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    watch(int(sys.argv[1]), float(sys.argv[2]))
