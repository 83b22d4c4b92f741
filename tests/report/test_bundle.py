"""The plotly.js of the page: the file that resources/plotly built, with its licence."""

import hashlib
import json
import re
from pathlib import Path

from evo2_embed.report import html
from runs import ROOT

FOLDER = Path(html.__file__).parent / "plotly"
BUNDLE = (FOLDER / "plotly.min.js").read_bytes()


def test_the_bundle_is_the_one_that_was_built():
    digest, name = (FOLDER / "plotly.min.js.sha256").read_text().split()
    assert hashlib.sha256(BUNDLE).hexdigest() == digest
    assert name == "plotly.min.js"
    pins = json.loads((ROOT / "resources/plotly/package.json").read_text())
    version = pins["devDependencies"]["plotly.js"]
    assert BUNDLE.startswith(f"/* plotly.js {version}, MIT".encode())
    assert "MIT License" in (FOLDER / "LICENSE").read_text()


def test_the_bundle_is_small_and_can_stand_in_a_page():
    assert len(BUNDLE) < 1_400_000
    assert not re.search(rb"</?script|<!--", BUNDLE, re.IGNORECASE)
