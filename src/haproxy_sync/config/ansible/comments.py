"""Ansible's `comment` filter."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class _Style:
    """What a language puts before each line of a comment, and around all of them."""

    decoration: str
    beginning: str = ""
    end: str = ""


_STYLES: Mapping[str, _Style] = {
    "plain": _Style("# "),
    "erlang": _Style("% "),
    "c": _Style("// "),
    "cblock": _Style(" * ", beginning="/*", end=" */"),
    "xml": _Style(" - ", beginning="<!--", end="-->"),
}


def comment(text: str, style: str = "plain", **options: Any) -> str:
    """The text as a comment, an empty comment line above and below it. Raises `ValueError` for another style."""
    if style not in _STYLES:
        raise ValueError(
            f"comment knows the styles {', '.join(_STYLES)}, not {style!r}"
        )
    option = _defaults(_STYLES[style], options) | options
    newline = option["newline"]
    beginning = option["beginning"] + newline if option["beginning"] else ""
    end = newline + option["end"] if option["end"] else ""
    return "".join(
        (
            beginning,
            _prefix(option),
            _decorated(text, option["decoration"], newline),
            (newline + option["postfix"]) * option["postfix_count"],
            end,
        )
    )


def _defaults(style: _Style, options: Mapping[str, Any]) -> dict[str, Any]:
    empty_line = options.get("decoration", style.decoration).rstrip()
    return {
        "newline": "\n",
        "beginning": style.beginning,
        "decoration": style.decoration,
        "end": style.end,
        "prefix": empty_line,
        "prefix_count": 1,
        "postfix": empty_line,
        "postfix_count": 1,
    }


def _prefix(option: Mapping[str, Any]) -> str:
    prefix, newline = option["prefix"], option["newline"]
    line = prefix if prefix == newline else prefix + newline
    return line * int(option["prefix_count"]) if prefix else ""


def _decorated(text: str, decoration: str, newline: str) -> str:
    """The decoration before each line, without the spaces that it would leave on empty ones."""
    decorated = decoration + text.replace(newline, newline + decoration)
    return decorated.replace(decoration + newline, decoration.rstrip() + newline)
