"""Where in the templates an error arose, and what it says to the template's author."""

import re
from collections.abc import Iterator
from functools import singledispatch
from traceback import walk_tb
from types import TracebackType
from typing import NamedTuple

from jinja2 import Template, TemplateNotFound, TemplateSyntaxError

from haproxy_sync.config.bounded import out_of_memory


class Place(NamedTuple):
    """A line of a template file, as Jinja counts it."""

    file: str
    line: int


def innermost(traceback: TracebackType | None) -> Place | None:
    """The place in the innermost template file that an error passed through; None if it passed through none."""
    places = list(_places(traceback))
    return next(reversed(places), None)


def _places(traceback: TracebackType | None) -> Iterator[Place]:
    for frame, line in walk_tb(traceback):
        template = frame.f_globals.get("__jinja_template__")
        # Only the files of a set have names; a template inside a variable has none.
        if isinstance(template, Template) and template.name:
            yield Place(template.name, template.get_corresponding_lineno(line))


_SIGNATURE = re.compile(r"\A[\w.<>]+\(\) (?=got|missing|takes)")
"""The name of a Python function, which no template has."""


@singledispatch
def reason(error: BaseException) -> str:
    """What was wrong, in the words of the error unless there are better ones."""
    return str(error) or type(error).__name__


@reason.register
def _(_error: RecursionError) -> str:
    return "this goes too deep: a variable, macro or include that refers to itself, or a value inside too many others"


@reason.register
def _(_error: MemoryError) -> str:
    return out_of_memory()


@reason.register
def _(error: TypeError) -> str:
    return _SIGNATURE.sub("this call ", str(error))


@reason.register
def _(error: UnicodeEncodeError) -> str:
    return f"the text holds {error.object[error.start]!r}, which is no character"


@reason.register
def _(error: TemplateNotFound) -> str:
    return f"there is no template {error}; upload what is included beside the main one"


@reason.register
def _(error: TemplateSyntaxError) -> str:
    return error.message or "syntax error"
