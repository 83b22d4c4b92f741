"""Number and memory of a model's parameters, from its settings."""

from evo2_embed.model.registry import inner_size

# In bf16 and fp8 the weights are in bfloat16, except poles and residues of the long filters.
_ITEMSIZE = {"fp32": 4, "bf16": 2, "fp8": 2}
_FLOAT32 = 4


def count_parameters(config: dict) -> dict[str, int]:
    """Number of parameters of a StripedHyena with these settings.

    Parameters
    ----------
    config : dict
        From `registry.model_config`. D is the width, I the width of the MLP.

    Returns
    -------
    dict
        `long`, the poles and residues of the long filters, which stay in float32; `other`.
    """
    width, inner = config["hidden_size"], inner_size(config)
    every_block = 2 * width + 3 * inner * width  # two norms; l1, l2 and l3 of the MLP
    attention = 4 * width**2 + width * (
        config["mha_out_proj_bias"] + 3 * config["qkv_proj_bias"]
    )  # Wqkv (3D, D) and out_proj (D, D)
    hyena = 4 * width**2 + width * (
        config["hyena_out_proj_bias"]
        + 3 * config["qkv_proj_bias"]
        + 3 * (config["short_filter_length"] + config["short_filter_bias"])
    )  # projections (3D, D), out_filter_dense (D, D) and the taps of three short filters
    medium = config["hcm_filter_groups"] * config["hcm_filter_length"] + width
    short = config["hcs_filter_groups"] * config["hcs_filter_length"]
    kinds = {kind: len(config[f"{kind}_layer_idxs"]) for kind in ("attn", "hcl", "hcm", "hcs")}
    other = (
        config["vocab_size"] * width * (1 if config["tie_embeddings"] else 2)
        + config["num_layers"] * every_block
        + kinds["attn"] * attention
        + (kinds["hcl"] + kinds["hcm"] + kinds["hcs"]) * hyena
        + kinds["hcl"] * width
        + kinds["hcm"] * medium
        + kinds["hcs"] * short
        + width * config.get("final_norm", True)
    )
    poles = config["hcl_filter_groups"] * config["state_size"]
    return {"long": kinds["hcl"] * 2 * poles, "other": other}


def weight_bytes(config: dict, precision: str) -> int:
    """Memory of the weights on the device, in bytes.

    In `fp8`, Transformer Engine may keep an additional 8-bit copy of the input projections, which
    is not counted.
    """
    counts = count_parameters(config)
    return counts["long"] * _FLOAT32 + counts["other"] * _ITEMSIZE[precision]
