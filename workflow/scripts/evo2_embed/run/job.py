"""The frame of every job: its log, and the checks of what it reads and what it may replace."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from evo2_embed.io.errors import InputError
from evo2_embed.io.files import checked_writes
from evo2_embed.io.locks import NoLocksError, try_lock
from evo2_embed.io.logs import logged_to
from evo2_embed.io.remote import address_of
from evo2_embed.plan.jobs import job_of
from evo2_embed.plan.rules import RULES
from evo2_embed.run.digests import Digests
from evo2_embed.run.frozen import RUN_CONFIG, load_frozen
from evo2_embed.run.origins import check_origin

RESULTS, LOGS = Path(RUN_CONFIG).parent, Path("logs")

_ATTEMPTS = 5  # to lock a log; another process of the same job may hold it

_STALE = (
    "the settings or files of this job changed after it was started: it writes nothing; if no run "
    "goes on, rerun"
)


@contextmanager
def workflow_job(job) -> Iterator[None]:
    """Run a job of the workflow: its block logs as in `logged_to`.

    The job's parameters, and the origins of its inputs, must be those of the latest run. Nothing is
    written once this is no longer so: the job may go on after its own run was killed, beside a
    later run with other settings.

    Parameters
    ----------
    job : object
        `wildcards`, `params`, `input` and `log`, as the workflow engine gives them to a
        script.
    """
    with logged_to(job.log[0]):
        _hold_log()
        with checked_writes(write_check(job)):
            yield


def _hold_log() -> None:
    """Lock the log, which is standard output, until the process ends: `make status` sees that the
    job is alive."""
    with suppress(NoLocksError):
        for _ in range(_ATTEMPTS):
            if try_lock(1):
                return
            time.sleep(0.01)  # a look at the lock takes less


def write_check(job) -> Callable[[], None]:
    """Check a job, and the files of earlier jobs that it reads, see `workflow_job`.

    Returns
    -------
    callable
        To be called before the job replaces a file.

    Raises
    ------
    InputError
        As the function that is returned, if the job or a file is not of the latest run.
    """
    inputs = _made_inputs(job)
    # Before they are checked: a change after this is noticed.
    states, frozen = _states(inputs), _states([RUN_CONFIG])
    check_inputs(job)

    def check() -> None:
        if _states(inputs) != states:
            raise InputError(_STALE)
        if _states([RUN_CONFIG]) != frozen:
            _check_params(job, Digests(load_frozen(RUN_CONFIG), RESULTS))

    return check


def check_inputs(job) -> None:
    """Check the parameters of a job, and its inputs of earlier jobs."""
    digests = Digests(load_frozen(RUN_CONFIG), RESULTS)
    _check_params(job, digests)
    run, makers = digests.run, {}
    for path in _made_inputs(job):
        maker = job_of(str(Path(path).relative_to(RESULTS)), run.settings, run.bundles)
        if maker is not None:
            makers[maker.name] = maker
    order = list(RULES)
    # In the order of the data: of two files that do not fit, the first is to be made again.
    for maker in sorted(makers.values(), key=lambda maker: order.index(maker.rule.name)):
        check_origin(maker, digests)


def _made_inputs(job) -> list[str]:
    """Inputs that earlier jobs made, except copies of files at addresses."""
    made = {path for path in job.input if Path(path).is_relative_to(RESULTS)}
    return sorted(path for path in made if not address_of(path))


def _check_params(job, digests: Digests) -> None:
    wildcards = dict(job.wildcards.items())
    # A workflow that imports this one may give its rules other names, but not their logs.
    rule = Path(job.log[0]).relative_to(LOGS).parts[0].removesuffix(".log")
    try:
        wanted = digests.params(rule, **wildcards)
    except KeyError:  # of an extraction or fusion that the run no longer has
        raise InputError(_STALE) from None
    if any(job.params[name] != value for name, value in wanted.items()):
        raise InputError(_STALE)


def _states(paths: list[str]) -> list[tuple | None]:
    """What changes if a file is replaced; None for a missing file."""
    states = []
    for path in paths:
        try:
            state = os.stat(path)
            states.append((state.st_ino, state.st_mtime_ns, state.st_size))
        except FileNotFoundError:
            states.append(None)
    return states
