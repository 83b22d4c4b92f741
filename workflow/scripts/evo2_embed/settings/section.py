"""A section of the configuration: a frozen dataclass whose fields are declared with `key`."""

from dataclasses import MISSING, field, fields, is_dataclass
from typing import Any, Self, get_args


def key(description: str, default=MISSING, *, factory=MISSING, schema=None, **keywords) -> Any:
    """Declare a key of a section; the annotation of the field gives its type.

    Parameters
    ----------
    description : str
        What the key means, for editors and the documentation.
    default : optional
        Value of a key that is left out. A key without one is required. None for a type that does
        not include None: the key may be left out, and another section says what it is.
    factory : callable, optional
        Makes the default of a section, a list or a mapping.
    schema : dict, optional
        JSON schema of the values, for types that an annotation cannot express.
    **keywords
        Keywords of the JSON schema beside the type: `minimum`, `maximum`, `minLength`.
    """
    metadata = {"description": description, "schema": schema, "keywords": keywords}
    return field(default=default, default_factory=factory, metadata=metadata)


class Section:
    """Base of all sections."""

    @classmethod
    def from_dict(cls, values: dict) -> Self:
        """The section from a valid mapping; keys that are missing get their defaults."""
        kinds = {item.name: item.type for item in fields(cls)}
        return cls(**{name: _typed(value, kinds.get(name)) for name, value in values.items()})

    def to_dict(self) -> dict:
        """The section as a plain mapping with sorted keys, at every level but for names."""
        names = sorted(item.name for item in fields(self))
        return {name: _plain(getattr(self, name)) for name in names}


def section_in(kind) -> type[Section] | None:
    """The section that a type has, alone or in `Section | None` or `dict[str, Section]`."""
    return next((part for part in (kind, *get_args(kind)) if is_dataclass(part)), None)


def _typed(value, kind):
    section = section_in(kind)
    if section is None or value is None:
        return value
    if section in (kind, *get_args(kind)[:1]):
        return section.from_dict(value)
    return {name: section.from_dict(entry) for name, entry in value.items()}


def _plain(value):
    if isinstance(value, Section):
        return value.to_dict()
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    return list(value) if isinstance(value, list) else value
