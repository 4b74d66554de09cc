"""Templates and variables in, text out; every error with file, line and name."""

import posixpath
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from jinja2 import FunctionLoader, TemplateSyntaxError

from haproxy_sync.config.ansible.environment import (
    AnsibleEnvironment,
    AnsibleTemplate,
    ValueEnvironment,
)
from haproxy_sync.config.ansible.lazy import own_copy
from haproxy_sync.config.ansible.location import Place, innermost, reason
from haproxy_sync.config.ansible.missing import MissingError
from haproxy_sync.config.ansible.output import text
from haproxy_sync.config.ansible.source import (
    has_header,
    is_template,
    split_header,
    with_newlines_of,
    with_unix_newlines,
)
from haproxy_sync.config.bounded import OutOfTime
from haproxy_sync.errors import TemplateError


@dataclass(frozen=True, slots=True)
class Compiled:
    """What an engine has compiled: included files by name, and values of variables by their source."""

    files: tuple[str, ...]
    values: tuple[str, ...]


_VARIABLE = "variable "
"""Begins the `file` of an error in a variable until the place that reads the variable is known."""


class Engine:
    """Compiles a set of template files once and renders one of them."""

    environment_class = AnsibleEnvironment
    """What compiles the files."""

    def __init__(self, main: str, files: Mapping[str, str]) -> None:
        """Raise `TemplateError` where `main` is missing or has a syntax error."""
        if main not in files:
            raise TemplateError(main, None, "there is no such template")
        self.main = main
        self._files = files
        self._source = files[main]
        self._lines_unseen = {main: int(has_header(self._source))}
        self._environment = self.environment_class(loader=FunctionLoader(self._include))
        self._values = ValueEnvironment()
        self._compiled: dict[str, AnsibleTemplate | Exception] = {}
        self._included: dict[str, None] = {}
        self._template = self._located(self._compile_main)

    def render(self, variables: Mapping[str, Any]) -> str:
        """The text of the main template, exactly as Ansible would write it to the file. Raises `TemplateError`."""
        rendered = self._located(lambda: self._text(variables))
        self._located(
            rendered.encode
        )  # half a character is no text that anybody can store
        return rendered

    def _text(self, variables: Mapping[str, Any]) -> str:
        if not is_template(self._source):
            return with_unix_newlines(self._source)
        value = self._template.value(variables)
        if value is None:
            return ""
        return text(with_newlines_of(self._source, value))

    def evaluate(self, source: str, variables: Mapping[str, Any], path: str) -> Any:
        """The native value of a user's value that may be a template. One that needs an undefined name is undefined.

        Raises `TemplateError`, which names the path of the variable.
        """
        if not is_template(source):
            return source
        try:
            value = self._value_template(source).value(variables)
        except MissingError as error:
            return error.handed_on(_VARIABLE + path)
        except TemplateError:  # of a variable that this one reads
            raise
        except Exception as error:
            raise TemplateError(_VARIABLE + path, None, reason(error)) from error
        return own_copy(with_newlines_of(source, value))

    def _value_template(self, source: str) -> AnsibleTemplate:
        compiled = self._value_template_or_error(source)
        if isinstance(compiled, Exception):
            raise compiled
        return compiled

    def _value_template_or_error(self, source: str) -> AnsibleTemplate | Exception:
        if source not in self._compiled:
            self._compiled[source] = self._compile_value(source)
        return self._compiled[source]

    def _compile_value(self, source: str) -> AnsibleTemplate | Exception:
        try:
            options, body = split_header(source)
            parsed = self._values.adjusted(options).parse(body)
            return self._environment.compiled(parsed, None)
        except Exception as error:  # noqa: BLE001 - kept, and raised each time the value is read
            return error

    def _compile_main(self) -> AnsibleTemplate:
        try:
            options, body = split_header(self._source)
        except ValueError as error:
            raise TemplateError(self.main, 1, str(error)) from error
        return self._environment.adjusted(options).compiled(body, self.main)

    @property
    def compiled(self) -> Compiled:
        """Beside the main template."""
        return Compiled(tuple(self._included), tuple(self._compiled))

    def compile(self, known: Compiled) -> None:
        """Compile what another engine for the same files had to."""
        for name in known.files:
            with suppress(Exception):  # whoever needs it finds out what is wrong
                self._environment.get_template(name)
        for source in known.values:
            self._value_template_or_error(source)

    def _include(self, name: str) -> str | None:
        """An included file: beside the main one, or in `templates/` as Ansible searches it, too."""
        self._included[name] = None
        path = posixpath.normpath(name)
        return self._files.get(path, self._files.get(path.removeprefix("templates/")))

    def _located[T](self, action: Callable[[], T]) -> T:
        """Do it; an error becomes a `TemplateError` with the file and the line that it arose from."""
        try:
            return self._timed(action)
        except TemplateError as error:
            reader = _reader(error)
            if reader is None:
                raise
            raise self._error(reader, f"{error.file}: {error.reason}") from error
        except TemplateSyntaxError as error:
            place = Place(error.name or self.main, error.lineno)
            raise self._error(place, reason(error)) from error
        except MissingError as error:
            raise self._error(error.place, reason(error)) from error
        except Exception as error:
            raise self._error(innermost(error.__traceback__), reason(error)) from error

    def _timed[T](self, action: Callable[[], T]) -> T:
        """Do it; an `OutOfTime` says where it was."""
        try:
            return action()
        except OutOfTime as error:
            error.located = self._error(innermost(error.__traceback__), str(error))
            raise

    def _error(self, place: Place | None, why: str) -> TemplateError:
        if place is None:
            return TemplateError(self.main, None, why)
        line = place.line + self._lines_unseen.get(place.file, 0)
        return TemplateError(place.file, line, why)


def _reader(error: TemplateError) -> Place | None:
    """The place that reads the variable at fault; None if the error says itself where it arose."""
    in_variable = error.line is None and error.file.startswith(_VARIABLE)
    return innermost(error.__traceback__) if in_variable else None
