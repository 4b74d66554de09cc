"""Templates and variables in, text out; every error with file, line and name."""

import ast
import posixpath
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from jinja2 import FunctionLoader, TemplateNotFound, TemplateSyntaxError, nodes

from haproxy_sync.config.ansible.environment import AnsibleEnvironment, AnsibleTemplate, ValueEnvironment
from haproxy_sync.config.ansible.missing import MissingError
from haproxy_sync.config.ansible.output import text
from haproxy_sync.errors import TemplateError

HEADER = "#jinja2:"
_OPTIONS = frozenset({
    "block_start_string", "block_end_string", "variable_start_string", "variable_end_string", "comment_start_string",
    "comment_end_string", "line_statement_prefix", "line_comment_prefix", "trim_blocks", "lstrip_blocks",
    "newline_sequence", "keep_trailing_newline",
})  # fmt: skip
_STARTS = ("{{", "{%", "{#")


class Engine:
    """Compiles a set of template files once and renders one of them."""

    def __init__(self, main: str, files: Mapping[str, str]) -> None:
        """Raise `TemplateError` where `main` is missing or has a syntax error."""
        self.main = main
        self._files = files
        self._environment = AnsibleEnvironment(loader=FunctionLoader(self._include))
        self._values = ValueEnvironment()
        self._compiled: dict[str, AnsibleTemplate | Exception] = {}
        if main not in files:
            raise TemplateError(main, None, "there is no such template")
        self._newlines = _trailing_newlines(files[main])
        self._header_lines = int(files[main].startswith(HEADER))
        self._template = self._located(self._compile_main)

    def render(self, variables: Mapping[str, Any]) -> str:
        """The text of the main template, exactly as Ansible would write it to the file."""
        value = self._located(lambda: self._template.value(variables))
        if value is None:
            return ""
        return _with_newlines(value, self._newlines) if isinstance(value, str) else self._located(lambda: text(value))

    def evaluate(self, source: str, variables: Mapping[str, Any], path: str) -> Any:
        """The native value of a user's value that may be a template. One that needs an undefined name is undefined."""
        if not source.startswith(HEADER) and not any(start in source for start in _STARTS):
            return source
        try:
            value = self._value_template(source).value(variables)
        except MissingError as error:
            return error.source
        except TemplateError:
            raise
        except Exception as error:
            raise TemplateError(f"variable {path}", None, _reason(error)) from error
        return _with_newlines(value, _trailing_newlines(source)) if isinstance(value, str) else value

    def _value_template(self, source: str) -> AnsibleTemplate:
        found = self._compiled.get(source)
        if found is None:
            try:
                options, rest = _header(source)
                values = ValueEnvironment(**options) if options else self._values
                found = _compile(self._environment, values.parse(rest), None)
            except Exception as error:  # noqa: BLE001 - kept and raised below, each time the value is read
                found = error
            self._compiled[source] = found
        if isinstance(found, Exception):
            raise found
        return found

    def _compile_main(self) -> AnsibleTemplate:
        try:
            options, source = _header(self._files[self.main])
        except ValueError as error:
            raise TemplateError(self.main, 1, str(error)) from error
        environment = AnsibleEnvironment(loader=self._environment.loader, **options) if options else self._environment
        return _compile(environment, source, self.main)

    def _include(self, name: str) -> str | None:
        """An included file: beside the main one, or in `templates/` as Ansible searches it, too."""
        path = posixpath.normpath(name)
        return self._files.get(path, self._files.get(path.removeprefix("templates/")))

    def _located[T](self, action: Callable[[], T]) -> T:
        try:
            return action()
        except TemplateError as error:
            line = _line(error.__traceback__) if error.line is None and error.file.startswith("variable ") else None
            if line is None:
                raise
            file, number = line
            raise TemplateError(file, self._real(file, number), f"{error.file}: {error.reason}") from error
        except TemplateSyntaxError as error:
            file = error.name or self.main
            raise TemplateError(file, self._real(file, error.lineno), _reason(error)) from error
        except Exception as error:
            file, number = _line(error.__traceback__) or (self.main, 0)
            raise TemplateError(file, self._real(file, number) or None, _reason(error)) from error

    def _real(self, file: str, line: int) -> int:
        """The line in the file: Jinja never saw the header line."""
        return line + self._header_lines if line and file == self.main else line


def _header(source: str) -> tuple[dict[str, Any], str]:
    """The options of a `#jinja2: key: literal, ...` line, and the rest."""
    if not source.startswith(HEADER):
        return {}, source
    line, _, rest = source.removeprefix(HEADER).partition("\n")
    options = {}
    for pair in line.split(","):
        key, _, value = (part.strip() for part in pair.partition(":"))
        if key not in _OPTIONS:
            raise ValueError(f"{HEADER} knows no option {key!r}: {', '.join(sorted(_OPTIONS))}")
        try:
            options[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError) as error:
            raise ValueError(f"{HEADER} {key} takes a literal, not {value!r}") from error
    return options, rest


def _compile(environment: AnsibleEnvironment, source: str | nodes.Template, name: str | None) -> AnsibleTemplate:
    code = environment.compile(source, name, name)
    template = environment.template_class.from_code(environment, code, environment.make_globals(None))
    assert isinstance(template, AnsibleTemplate)  # noqa: S101 - for the type checker
    return template


def _reason(error: BaseException) -> str:
    match error:
        case RecursionError():
            return "a variable refers to itself"
        case TemplateNotFound():
            return f"there is no template {error}; upload what is included beside the main one"
        case TemplateSyntaxError():
            return error.message or "syntax error"
        case _:
            return str(error) or type(error).__name__


def _line(traceback: TracebackType | None) -> tuple[str, int] | None:
    """File and line of the innermost template of a set (not of a variable) that the error passed through."""
    found = None
    while traceback is not None:
        template = traceback.tb_frame.f_globals.get("__jinja_template__")
        if isinstance(template, AnsibleTemplate) and template.name:
            found = (template.name, template.get_corresponding_lineno(traceback.tb_lineno))
        traceback = traceback.tb_next
    return found


def _trailing_newlines(source: str) -> int:
    return len(source) - len(source.rstrip("\n"))


def _with_newlines(value: str, count: int) -> str:
    """Ansible's rule: Jinja drops the newline at the end of a template, Ansible counts and appends what is missing."""
    return value + "\n" * max(0, count - _trailing_newlines(value))
