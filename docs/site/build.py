"""Build the site of the documentation into build/site, and check it: `make docs`.

Warnings of Sphinx are errors, so links between pages, to files and to headings are checked. Here
the pages that were built are checked, too: nothing on them is fetched from a network, and every
link within the site leads to a file and to an element. CITATION.cff is compared with its schema.
"""

import json
import sys
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit

import jsonschema
import yaml
from bs4 import BeautifulSoup
from sphinx.cmd.build import build_main

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "build" / "site"
# What a browser fetches by itself, by tag: the attribute with the address.
FETCHED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}


def citation_faults() -> list[str]:
    """What is wrong with CITATION.cff."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    # The package itself is not imported: it needs versions that this environment does not have.
    schema = distribution("cffconvert").locate_file("cffconvert/schemas/1.2.0/schema.json")
    validator = jsonschema.Draft7Validator(json.loads(Path(schema).read_text()))
    found = validator.iter_errors(citation)
    return [f"CITATION.cff: {fault.json_path}: {fault.message}" for fault in found]


@cache
def parsed(path: Path) -> BeautifulSoup:
    """A page."""
    return BeautifulSoup(path.read_bytes(), "html.parser")


@cache
def anchors(path: Path) -> set[str]:
    """The elements of a page that a link can lead to."""
    return {tag["id"] for tag in parsed(path).find_all(id=True)}


def page_faults(path: Path) -> list[str]:
    """Addresses that are fetched from a network, and links that lead nowhere."""
    page, faults = parsed(path), []
    for tag in page.find_all([*FETCHED, "a"]):
        address = tag.get(FETCHED.get(tag.name, "href"), "")
        parts = urlsplit(address)
        if parts.scheme or parts.netloc:
            if tag.name != "a":
                faults.append(f"is fetched from a network: {address}")
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        if not target.is_file():
            faults.append(f"leads nowhere: {address}")
        elif parts.fragment and unquote(parts.fragment) not in anchors(target):
            faults.append(f"has no such heading: {address}")
    return [f"{path.relative_to(SITE)}: {fault}" for fault in faults]


def main() -> str | None:
    """Build and check; the faults, one line each."""
    options = ["-q", "-W", "--keep-going", "-c", str(ROOT / "docs/site")]
    if build_main([*options, "-d", str(ROOT / "build/doctrees"), str(ROOT), str(SITE)]):
        return "docs: Sphinx found faults"
    pages = [page for page in sorted(SITE.rglob("*.html")) if "_static" not in page.parts]
    faults = citation_faults() + [fault for page in pages for fault in page_faults(page)]
    print(f"{len(pages)} pages: {SITE / 'index.html'}")
    return "\n".join(faults) or None


if __name__ == "__main__":
    sys.exit(main())
