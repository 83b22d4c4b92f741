"""Checks of a machine, one line each: `OK`, `WARN` or `FAIL`, with what to do.

findings    result of a check, and how results are shown
software    Python and the packages, compared with the pins
devices     GPUs, compared with the needs of model and precision
storage     weights, disk, temporary files, memory
prompts     loss on the prompts of the evo2 package, compared with published values
checks      which checks run for a job, for a run, and for `make doctor`
"""

from evo2_embed.doctor.checks import check_job, check_machine, check_run
from evo2_embed.doctor.findings import Finding, failed, lines

__all__ = ["Finding", "check_job", "check_machine", "check_run", "failed", "lines"]
