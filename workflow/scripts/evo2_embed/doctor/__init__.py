"""Is this machine fit for the work? Checks that give a line each: fine, or what to do.

findings    what a check found, and how a list of it is shown
software    Python and the packages, against the pins
devices     GPUs, against what model and precision need
storage     weights, disk, temporary files, memory
prompts     the loss of the prompts that ship with evo2, against its published values
checks      which of them are for whom: a job, the run, a person
"""

from evo2_embed.doctor.checks import check_job, check_machine, check_run
from evo2_embed.doctor.findings import Finding, faults, lines

__all__ = ["Finding", "check_job", "check_machine", "check_run", "faults", "lines"]
