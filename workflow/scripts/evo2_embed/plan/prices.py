"""What the variants of a run cost with each way of sharing."""

from evo2_embed.plan.estimate import Estimate
from evo2_embed.plan.speeds import Speed


def share_prices(estimate: Estimate, speeds: dict[str, list[Speed]]) -> list[dict]:
    """Tokens and hours of all variants for each `variants.share`; nothing without variants.

    Parameters
    ----------
    estimate : Estimate
    speeds : dict
        By extraction.

    Returns
    -------
    list of dict
        `share`, `tokens` and `hours`, by extraction and device; `none` comes last.
    """
    mine = [genome.shares for genome in estimate.genomes if genome.shares]
    prices = []
    for share in mine[0] if mine else ():
        tokens = sum(shares[share] for shares in mine)
        hours = {
            name: {speed.device: tokens / speed.tokens_per_second / 3600 for speed in known}
            for name, known in speeds.items()
        }
        prices.append({"share": share, "tokens": tokens, "hours": hours})
    return prices
