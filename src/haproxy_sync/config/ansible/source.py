"""The text of a template as its author wrote it: a line of options before it, newlines after it."""

import ast
import re
from typing import Any

HEADER = "#jinja2:"
_OPTIONS = frozenset({
    "block_start_string", "block_end_string", "variable_start_string", "variable_end_string", "comment_start_string",
    "comment_end_string", "line_statement_prefix", "line_comment_prefix", "trim_blocks", "lstrip_blocks",
    "newline_sequence", "keep_trailing_newline",
})  # fmt: skip
_NEWLINE = re.compile(r"\r\n?")
_START = re.compile(r"\{[{%#]")


def has_header(source: str) -> bool:
    """Whether the first line holds options. Jinja never sees that line."""
    return source.startswith(HEADER)


def is_template(source: str) -> bool:
    """Whether rendering can change the text."""
    return has_header(source) or _START.search(source) is not None


def with_unix_newlines(source: str) -> str:
    """The text with LF, whatever system it was written on, as Jinja reads it."""
    return _NEWLINE.sub("\n", source)


def split_header(source: str) -> tuple[dict[str, Any], str]:
    """The options of a `#jinja2: key: literal, ...` line, and the rest.

    Raises `ValueError` for an option that Jinja does not have, or whose value is no literal.
    """
    if not has_header(source):
        return {}, source
    line, _, rest = source.removeprefix(HEADER).partition("\n")
    options = dict(map(_option, line.split(",")))
    return options, rest


def _option(pair: str) -> tuple[str, Any]:
    key, _, value = map(str.strip, pair.partition(":"))
    if key not in _OPTIONS:
        raise ValueError(
            f"{HEADER} knows no option {key!r}: {', '.join(sorted(_OPTIONS))}"
        )
    try:
        return key, ast.literal_eval(value)
    except (ValueError, SyntaxError) as error:
        raise ValueError(f"{HEADER} {key} takes a literal, not {value!r}") from error


def with_newlines_of(source: str, value: Any) -> Any:
    """Ansible's rule: Jinja drops the newline at the end of a template, Ansible counts and appends what is missing.

    A value that is no text stays as it is.
    """
    if not isinstance(value, str):
        return value
    missing = _trailing_newlines(source) - _trailing_newlines(value)
    return value + "\n" * max(0, missing)


def _trailing_newlines(text: str) -> int:
    return len(text) - len(text.rstrip("\n"))
