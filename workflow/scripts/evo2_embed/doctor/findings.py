"""What a check found, and how a list of it is shown."""

from dataclasses import dataclass
from typing import Literal

from evo2_embed.io.errors import InputError
from evo2_embed.io.logs import log


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, how it is, and what to do if it is not fine."""

    what: str
    state: Literal["fine", "remark", "fault"]
    text: str


def fine(what: str, text: str) -> Finding:
    """All is well."""
    return Finding(what, "fine", text)


def remark(what: str, text: str) -> Finding:
    """It will work, but one should know."""
    return Finding(what, "remark", text)


def fault(what: str, text: str) -> Finding:
    """It will not work, or not give what it should."""
    return Finding(what, "fault", text)


def faults(findings: list[Finding]) -> list[Finding]:
    """Those that say that the machine is not fit."""
    return [finding for finding in findings if finding.state == "fault"]


def lines(findings: list[Finding]) -> str:
    """A list for the terminal, a line each."""
    width = max((len(finding.what) for finding in findings), default=0)
    return "\n".join(f"{x.state:<6}  {x.what:<{width}}  {x.text}" for x in findings)


def log_and_stop(findings: list[Finding]) -> None:
    """Write findings to the log, a line each.

    Raises
    ------
    InputError
        When there is a fault: all of them in one line.
    """
    for finding in findings:
        text = f"{finding.what}: {finding.text}"
        if finding.state == "fine":
            log.info("fine: %s", text)
        elif finding.state == "remark":
            log.warning("%s", text)
    wrong = faults(findings)
    if wrong:
        raise InputError("; ".join(f"{x.what}: {x.text}" for x in wrong))
