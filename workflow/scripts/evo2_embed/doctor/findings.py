"""The result of a check, and how results are shown."""

from dataclasses import dataclass
from typing import Literal

from evo2_embed.io.errors import InputError
from evo2_embed.io.logs import log
from evo2_embed.io.text import MESSAGE, shown, status_line


@dataclass(frozen=True)
class Finding:
    """One line: what was checked, its state, and what to do if it is not OK."""

    what: str
    state: Literal["OK", "WARN", "FAIL"]
    text: str


def ok(what: str, text: str) -> Finding:
    """No problem."""
    return Finding(what, "OK", text)


def warn(what: str, text: str) -> Finding:
    """It works, but the user should know."""
    return Finding(what, "WARN", text)


def fail(what: str, text: str) -> Finding:
    """It does not work, or gives wrong results."""
    return Finding(what, "FAIL", text)


def failed(findings: list[Finding]) -> list[Finding]:
    """The checks that failed."""
    return [finding for finding in findings if finding.state == "FAIL"]


def lines(findings: list[Finding]) -> str:
    """Findings for the terminal, one line each, or more if it is long."""
    width = max((len(finding.what) for finding in findings), default=0)
    return "\n".join(
        status_line(x.state, f"{x.what:<{width}}  {shown(x.text, MESSAGE)}") for x in findings
    )


def log_and_stop(findings: list[Finding]) -> None:
    """Write findings to the log, one line each.

    Raises
    ------
    InputError
        If a check failed: all failures in one line.
    """
    for finding in findings:
        text = f"{finding.what}: {finding.text}"
        if finding.state == "OK":
            log.info("OK: %s", text)
        elif finding.state == "WARN":
            log.warning("%s", text)
    wrong = failed(findings)
    if wrong:
        raise InputError("; ".join(f"{x.what}: {x.text}" for x in wrong))
