"""The shape of a fusion, from its settings alone. Light: the plan asks for it."""


def method_of(method: str | dict[str, int]) -> str:
    """The name of a method: concat, mean, weighted or pca (`{pca: k}` in the settings)."""
    return next(iter(method)) if isinstance(method, dict) else method


def is_standardised(method: str | dict[str, int], n_layers: int) -> bool:
    """Whether layers are standardised: several layers need it to count alike, and PCA always."""
    return n_layers > 1 or method_of(method) == "pca"


def fused_width(method: str | dict[str, int], widths: list[int]) -> int:
    """Dimensions of a fused vector of one strand, from those of its layers."""
    if isinstance(method, dict):
        return method["pca"]
    return sum(widths) if method == "concat" else widths[0]


def joined_width(method: str | dict[str, int], strands: str, widths: list[int]) -> int:
    """Dimensions of a vector of the fused dataset, from those of its layers."""
    return fused_width(method, widths) * (2 if strands == "concat" else 1)
