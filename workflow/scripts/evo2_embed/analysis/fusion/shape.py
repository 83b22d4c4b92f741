"""What follows from a fusion's settings alone."""


def method_of(settings: dict) -> str:
    """The method: concat, mean, weighted or pca."""
    method = settings["method"]
    return next(iter(method)) if isinstance(method, dict) else method


def is_standardised(settings: dict, n_layers: int) -> bool:
    """Whether layers are standardised: a single one needs no balance, but PCA does."""
    return n_layers > 1 or method_of(settings) == "pca"


def fused_width(settings: dict, widths: list[int]) -> int:
    """Numbers in a row, before strands are joined."""
    if method_of(settings) == "pca":
        return settings["method"]["pca"]
    return sum(widths) if method_of(settings) == "concat" else widths[0]


def joined_width(settings: dict, widths: list[int]) -> int:
    """Numbers in a row of the fused dataset."""
    return fused_width(settings, widths) * (2 if settings["strands"] == "concat" else 1)
