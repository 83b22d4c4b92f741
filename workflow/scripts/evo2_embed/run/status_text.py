"""Progress of a run, as text and as JSON."""

from dataclasses import asdict

from evo2_embed.io.text import MESSAGE, shown, status_line, text_table
from evo2_embed.run.status import Failure, ShardStates

SHOWN_FAILURES = 10
_PARTS = ("timed", "running_speeds")  # what the numbers are computed from


def as_json(states: dict[str, ShardStates], failed: list[Failure]) -> dict:
    """The state as numbers: tokens, tokens per second, seconds."""
    return {
        "extractions": {
            name: {
                **{key: value for key, value in asdict(state).items() if key not in _PARTS},
                "seconds_left": state.seconds_left,
            }
            for name, state in states.items()
        },
        "failures": [asdict(failure) for failure in failed],
    }


def as_text(states: dict[str, ShardStates], failed: list[Failure]) -> str:
    """The state as two tables, and the failures."""
    shards = text_table([_shards(name, state) for name, state in states.items()])
    tokens = text_table([_tokens(name, state) for name, state in states.items()])
    lines = [shards, "", tokens, ""]
    if failed:
        lines.append(f"{len(failed):,} job(s) failed and did not run again since:")
        for each in failed[:SHOWN_FAILURES]:
            lines.append(status_line("FAIL", f"{each.job}: {shown(each.error, MESSAGE)}"))
            lines.append(f"      {each.log}")
        if len(failed) > SHOWN_FAILURES:
            lines.append(f"and {len(failed) - SHOWN_FAILURES:,} more")
    else:
        lines.append(status_line("OK", "no job failed"))
    return "\n".join(lines) + "\n"


def _shards(name: str, state: ShardStates) -> dict:
    shards = state.done + state.running + state.interrupted + state.waiting
    return {
        "extraction": name,
        "shards done": f"{state.done:,} of {shards:,}",
        "running": f"{state.running:,}",
        "interrupted": f"{state.interrupted:,}",
        "waiting": f"{state.waiting:,}",
        "datasets": f"{state.datasets} of {state.layers}",
    }


def _tokens(name: str, state: ShardStates) -> dict:
    share = state.tokens_done / state.tokens if state.tokens else 0.0
    return {
        "extraction": name,
        "tokens done": f"{state.tokens_done:,.0f} of {state.tokens:,.0f} ({share:.1%})",
        "tokens/s": f"{state.total_speed:,.0f}" if state.total_speed else "-",
        "per job": f"{state.speed:,.0f}" if state.speed else "-",
        "time left": time_left(state),
    }


def time_left(state: ShardStates) -> str:
    """The time until the last shard is done, or what the running jobs do instead."""
    seconds = state.seconds_left
    if not seconds and state.running:
        return state.stage
    if seconds is None:
        return "no job runs"
    return duration(seconds) if seconds else "-"


def duration(seconds: float) -> str:
    """A time in two units: 3 h 02 min."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"
