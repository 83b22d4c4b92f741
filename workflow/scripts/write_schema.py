"""Write what follows from the declaration of the configuration: its JSON schema, and its docs.

in:  evo2_embed/settings/*.py
out: workflow/schemas/config.schema.json and docs/configuration.md
"""

import json
from pathlib import Path

from evo2_embed.settings.schema import config_schema
from evo2_embed.settings.table import keys_table

ROOT = Path(__file__).resolve().parents[2]


def texts() -> dict[Path, str]:
    """By path, the text that each of the files should have."""
    schema = config_schema()
    return {
        ROOT / "workflow/schemas/config.schema.json": json.dumps(schema, indent=2) + "\n",
        ROOT / "docs/configuration.md": keys_table(schema),
    }


if __name__ == "__main__":
    for path, text in texts().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
