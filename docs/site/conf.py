"""Settings of Sphinx for the site of `make docs`.

The pages are the Markdown files of the repository, as they are. The navigation follows the sections
of docs/index.md. Nothing on the site is fetched from a network.
"""

import re
import sys
from pathlib import Path

from pygments.lexers.special import TextLexer

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "workflow/scripts"))

from evo2_embed import __version__  # noqa: E402

project, version, release = "evo2-embed", __version__, __version__
copyright = "the evo2-embed authors, MIT License"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
include_patterns = [
    "README.md",
    "CHANGELOG.md",
    "config/README.md",
    "config/examples/README.md",
    "config/examples/*/README.md",
    "docs/*.md",
    "docs/site/api.rst",
    "examples/README.md",
    "resources/*.md",
    "resources/plotly/README.md",
]
# Folders that are not searched for pages.
exclude_patterns = [".*", "build", "**/results", "**/.snakemake", "resources/plotly/node_modules"]
myst_heading_anchors = 4

default_role = "literal"
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings have the types

html_theme = "pydata_sphinx_theme"
html_title = project
templates_path = ["templates"]
html_static_path = ["static"]
html_css_files = ["site.css"]
html_sidebars = {"**": ["navigation.html"]}
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": project},
    "navbar_center": [],
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
}


def add_navigation(app, docname, source):
    """Turn each list of links in docs/index.md into a section of the navigation, too."""
    if docname != root_doc:
        return
    sections = re.split(r"^## (.+)$", source[0], flags=re.M)[1:]
    for caption, text in zip(sections[::2], sections[1::2], strict=True):
        links = re.findall(r"\[([^\]]+)\]\(([\w./-]+)\.md\)", text)
        lines = [f"{name[0].upper()}{name[1:]} <{page}>" for name, page in links]
        lines += ["All functions of the reader <site/api>"] if caption == "Results" else []
        body = "\n".join(lines)
        source[0] += f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{body}\n```\n"


def write_entrance(app, exception):
    """The first page of the site: it leads to the overview."""
    if exception is None:
        page = '<!doctype html><meta charset="utf-8"><title>evo2-embed</title>'
        page += '<meta http-equiv="refresh" content="0; url=README.html">'
        page += '<p><a href="README.html">evo2-embed</a></p>\n'
        (Path(app.outdir) / "index.html").write_text(page, encoding="utf-8")


def setup(app):
    """Called by Sphinx."""
    app.add_lexer("tsv", TextLexer)
    app.connect("source-read", add_navigation)
    app.connect("build-finished", write_entrance)
