"""Attributes of features: the last column of GFF3 and GTF files."""

import re
from collections.abc import Callable, Iterable
from urllib.parse import unquote

# The word before the first `=`, or before the first blank.
_GFF3, _GTF = re.compile(r'\s*[^\s=;"]+\s*='), re.compile(r'\s*[^\s=;"]+\s+[^\s=]')

_GFF3_VALUE, _GTF_VALUE = re.compile(r"\s*=([^;]*)"), re.compile(r'\s+(?:"([^"]*)"|([^\s";]+))')


class Gff3:
    """`ID=gene1;Name=recA`: percent-encoded; a text in quotes keeps them."""

    usual = spliced = ("Name", "gene", "locus_tag", "ID")

    @staticmethod
    def text(cell: str) -> str:
        """The text of a cell, with its percent signs decoded."""
        return unquote(cell) if "%" in cell else cell

    @staticmethod
    def value(attributes: str, key: str) -> str | None:
        """The value of an attribute; None if it is missing or empty."""
        found = _found(attributes, key, _GFF3_VALUE, _after_semicolon)
        return (Gff3.text(found[1].strip()) or None) if found else None

    @staticmethod
    def parents(attributes: str) -> list[str]:
        """IDs of the parents of a feature."""
        found = _found(attributes, "Parent", _GFF3_VALUE, _after_semicolon)
        values = found[1].split(",") if found else ()
        return [Gff3.text(value.strip()) for value in values if value.strip()]


class Gtf:
    """`gene_id "g1"; gene_name "recA";`: a text in quotes may have semicolons."""

    usual = ("gene_name", "gene", "gene_id", "transcript_id")
    spliced = ("transcript_id", *usual[:3])  # a gene has several transcripts

    @staticmethod
    def text(cell: str) -> str:
        """The text of a cell."""
        return cell

    @staticmethod
    def value(attributes: str, key: str) -> str | None:
        """The value of an attribute; None if it is missing or empty."""
        found = _found(attributes, key, _GTF_VALUE, _outside_quotes)
        return (found[1] or found[2] or None) if found else None


Style = type[Gff3] | type[Gtf]


def first_value(style: Style, attributes: str, keys: Iterable[str]) -> str | None:
    """The value of the first attribute that is there and not empty; None if there is none."""
    for key in keys:
        if value := style.value(attributes, key):
            return value
    return None


def style_of(attributes: str) -> Style | None:
    """The style of a feature's attributes; None if it has none."""
    if _GFF3.match(attributes):
        return Gff3
    return Gtf if _GTF.match(attributes) else None


def _found(attributes: str, key: str, value: re.Pattern, free: Callable[[str], bool]):
    """The match of a value behind its key. `free` tells from the text before a key whether it is
    one, and not a part of a value."""
    at = attributes.find(key)
    while at >= 0:
        found = value.match(attributes, at + len(key))
        if found and free(attributes[:at]):
            return found
        at = attributes.find(key, at + 1)
    return None


def _after_semicolon(before: str) -> bool:
    return not before or before.rstrip().endswith(";") or before.isspace()


def _outside_quotes(before: str) -> bool:
    return (not before or before[-1] in "; ") and before.count('"') % 2 == 0
