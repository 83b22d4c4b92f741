"""The pages of the documentation, and the code blocks in them."""

import re
from dataclasses import dataclass
from pathlib import Path

from runs import ROOT

PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md")),
    *sorted((ROOT / "config").rglob("README.md")),
    ROOT / "examples" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "resources").glob("*.md")),
    ROOT / "resources" / "plotly" / "README.md",
]
FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, relative to the repository, its language, line and text."""

    page: str
    language: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def name_of(page: Path) -> str:
    """The path of a page, relative to the repository."""
    return str(page.relative_to(ROOT))


def blocks_of(page: Path) -> list[Block]:
    """The blocks of a page, without their indentation."""
    text = page.read_text()
    return [
        Block(
            name_of(page),
            found[2],
            text[: found.start()].count("\n") + 1,
            re.sub(f"^{found[1]}", "", found[3], flags=re.M),
        )
        for found in FENCED.finditer(text)
    ]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def blocks_in(language: str, *pages: str) -> list[Block]:
    """The blocks of a language, in some pages or in all."""
    return [b for b in BLOCKS if b.language == language and (not pages or b.page in pages)]
