"""A logger of Snakemake: its events as lines of JSON, for `run_workflow.py`.

Snakemake finds it by its name on PYTHONPATH (`--logger evo2-embed`). The lines go to the file
descriptor that `EVENTS` names, in place of what Snakemake prints; its own log file stays as it is.
"""

import json
import logging
import os

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

EVENTS = "EVO2_EMBED_EVENTS"  # the environment variable
RUN_ID = "SLURM run ID"  # of all messages below a warning, the one that a user needs
OF_JOB = "RuleException"  # comes before the event of a job that failed, and says less


class LogHandler(LogHandlerBase):
    """Writes the events."""

    writes_to_stream = True  # Snakemake prints nothing itself
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def emit(self, record: logging.LogRecord) -> None:
        said = event_of(record)
        if said is not None:
            os.write(int(os.environ[EVENTS]), f"{json.dumps(said)}\n".encode())


def event_of(record: logging.LogRecord) -> dict | None:
    """What a record says, as `run.live.Jobs` takes it; None if nobody needs it."""
    event = getattr(record, "event", None)
    if event == LogEvent.JOB_INFO:
        return {"started": record.jobid, "rule": record.rule_name}
    if event == LogEvent.JOB_FINISHED:
        return {"finished": record.job_id}
    if event == LogEvent.JOB_ERROR:
        logs = [str(path).split(" (")[0] for path in record.log]
        return {"failed": record.jobid, "rule": record.rule_name, "logs": logs}
    if event == LogEvent.PROGRESS:
        return {"done": record.done, "jobs": record.total}
    if event is None or event == LogEvent.ERROR:
        text = record.getMessage()
        needed = record.levelno >= logging.WARNING and not text.startswith(OF_JOB)
        if needed or text.startswith(RUN_ID):
            return {"text": text}
    return None
