"""The Jinja2 environment: what a node prints, what an expression returns, which names exist."""

from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from types import MappingProxyType
from typing import Any, Self, cast, override

from jinja2 import Template, Undefined, nodes, pass_context
from jinja2.compiler import Frame
from jinja2.idtracking import VAR_LOAD_PARAMETER
from jinja2.lexer import Lexer
from jinja2.nativetypes import NativeCodeGenerator
from jinja2.runtime import Context, Macro
from jinja2.sandbox import SandboxedEnvironment
from jinja2.utils import missing as absent

from haproxy_sync.config.ansible.lazy import as_printed
from haproxy_sync.config.ansible.missing import Missing, MissingError, first_missing
from haproxy_sync.config.ansible.output import (
    MAX_BITS,
    OutputTooLarge,
    concat,
    listed,
    text,
)
from haproxy_sync.config.ansible.plugins import FILTERS, GLOBALS, TESTS

_CONTAINERS = (dict, list, tuple)
_NO_NAMES: Mapping[str, Any] = MappingProxyType({})


@pass_context
def _keep(context: Context, value: Any) -> Any:
    """Stop at an undefined node while its line is known. Taking the context keeps constants from becoming text.

    A container of a file is printed, so what it holds may not be undefined either; that of a variable may never be.
    """
    if isinstance(value, _CONTAINERS):
        return _kept(context, value)
    if isinstance(value, Missing):
        str(value)
    return value


def _kept(context: Context, container: Any) -> Any:
    if context.name:
        text(container)
    return as_printed(container)


class _Deferred:
    """A variable that was found, but not rendered yet."""

    __slots__ = ("name", "variables")

    def __init__(self, variables: Mapping[str, Any], name: str) -> None:
        self.variables = variables
        self.name = name


class _CodeGenerator(NativeCodeGenerator):
    """Reads a variable where it is used. Jinja's own code reads all names of a block at its start, used or not."""

    def _output_const_repr(self, group: Iterable[Any]) -> str:
        return repr("".join(group))

    @override
    def visit_Name(self, node: nodes.Name, frame: Frame) -> None:
        if node.ctx != "load":
            return super().visit_Name(node, frame)
        reference = frame.symbols.ref(node.name)
        if self._is_declared_parameter(reference, frame):
            return self.write(reference)
        found = f"environment.read({reference})"
        return self.write(
            f"(undefined(name={node.name!r}) if {reference} is missing else {found})"
        )

    def _is_declared_parameter(self, reference: str, frame: Frame) -> bool:
        """Whether it is a parameter of a macro, which holds its value already."""
        load = frame.symbols.find_load(reference)
        is_parameter = load is not None and load[0] == VAR_LOAD_PARAMETER
        return is_parameter and not self.parameter_is_undeclared(reference)


class _Context(Context):
    def resolve_or_missing(self, key: str) -> Any:
        if key in self.vars:
            return self.vars[key]
        return _Deferred(self.parent, key) if key in self.parent else absent

    def get_all(self) -> dict[str, Any]:
        # Jinja copies into a dict, which would render every variable, used or not.
        return cast("dict[str, Any]", ChainMap(self.vars, self.parent))


class AnsibleTemplate(Template):
    """A compiled template whose contexts never copy the variables."""

    def new_context(
        self,
        vars: Mapping[str, Any] | None = None,  # noqa: A002 - Jinja's name
        shared: bool = False,
        locals: Mapping[str, Any] | None = None,  # noqa: A002 - Jinja's name
    ) -> Context:
        """A context for an include, an import or a whole run."""
        own = {
            name: value for name, value in _names(locals).items() if value is not absent
        }
        inherited = _NO_NAMES if shared else self.globals
        layers = [own, _names(vars), inherited]
        parent = cast(
            "dict[str, Any]", ChainMap(*cast("list[MutableMapping[str, Any]]", layers))
        )
        return self.environment.context_class(
            self.environment,
            parent,
            self.name,
            self.blocks,
            globals=self.globals,
        )

    def value(self, variables: Mapping[str, Any]) -> Any:
        """The native result."""
        return concat(self.root_render_func(self.new_context(variables)))


def _names(given: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Jinja passes None where it has no names. Never asked for its length: that of a scope is costly to count."""
    return _NO_NAMES if given is None else given


class AnsibleEnvironment(SandboxedEnvironment):
    """For template files. `trim_blocks`, no extensions, sandboxed; lists may be appended to, as templates do."""

    context_class = _Context
    template_class = AnsibleTemplate
    code_generator_class = _CodeGenerator
    concat = staticmethod(concat)
    intercepted_binops = frozenset({"**"})

    def __init__(self, **options: Any) -> None:
        own: dict[str, Any] = {
            "undefined": Missing,
            "finalize": _keep,
            "optimized": False,
        }
        super().__init__(**{"trim_blocks": True, **options, **own})
        self._safety: dict[tuple[type, str], bool] = {}
        self.filters = cast("Any", FILTERS)
        self.tests = cast("Any", TESTS)
        self.globals.update(GLOBALS)

    def adjusted(self, options: Mapping[str, Any]) -> Self:
        """The environment as a header wants it: itself, unless there are options."""
        if not options:
            return self
        return type(self)(loader=self.loader, **options)

    def compiled(
        self, source: str | nodes.Template, name: str | None
    ) -> AnsibleTemplate:
        """The template of a text that has no header any more (`TemplateSyntaxError`)."""
        code = self.compile(source, name, name)
        names = self.make_globals(None)
        return cast("AnsibleTemplate", self.template_class.from_code(self, code, names))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """A power that would take minutes is refused at once."""
        is_whole = isinstance(left, int) and isinstance(right, int)
        if is_whole and left.bit_length() * right > MAX_BITS:
            raise OutputTooLarge(f"a number of more than {MAX_BITS} bits")
        return super().call_binop(context, operator, left, right)

    @staticmethod
    def read(found: Any) -> Any:
        """The value of a variable, rendered now."""
        while type(found) is _Deferred:
            found = found.variables[found.name]
        return found

    def getattr(self, obj: Any, attribute: str) -> Any:
        """The attribute, else the key; a key may have a name that the sandbox protects as an attribute."""
        value = getattr(obj, attribute, absent)
        if value is absent:
            return _item(obj, attribute, otherwise=self._without)
        safe_format = self.wrap_str_format(value)
        if safe_format is not None:
            return safe_format
        if self._is_safe(obj, attribute):
            return value
        return _item(obj, attribute, otherwise=self.unsafe_undefined)

    def _without(self, obj: Any, attribute: str) -> Undefined:
        return self.undefined(obj=obj, name=attribute)

    def _is_safe(self, obj: Any, attribute: str) -> bool:
        """The sandbox's answer, which depends on nothing but type and name."""
        key = (type(obj), attribute)
        if key not in self._safety:
            self._safety[key] = self.is_safe_attribute(obj, attribute, None)
        return self._safety[key]

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a macro, a method or a global; an undefined argument is the result, but a macro decides itself."""
        if not isinstance(obj, Macro):
            undefined = first_missing(args, kwargs)
            if undefined is not None:
                return undefined
        try:
            return listed(super().call(context, obj, *args, **kwargs))
        except MissingError as error:
            return error.handed_on()


def _item(obj: Any, key: str, *, otherwise: Callable[[Any, str], Any]) -> Any:
    try:
        return obj[key]
    except (TypeError, LookupError):
        return otherwise(obj, key)


_IN_VARIABLE: Mapping[str, bool] = {"variable_begin": True, "variable_end": False}
"""Tokens that begin and end `{{ }}`."""


class _LiteralBackslashes(Lexer):
    r"""In YAML values a backslash of a string constant in `{{ }}` is one: `'\1'` reaches `regex_replace` whole."""

    def tokeniter(self, *args: Any, **kwargs: Any) -> Iterator[tuple[int, str, str]]:
        in_variable = False
        for line, kind, token in super().tokeniter(*args, **kwargs):
            in_variable = _IN_VARIABLE.get(kind, in_variable)
            is_constant = in_variable and kind == "string"
            yield line, kind, token.replace("\\", r"\\") if is_constant else token


class ValueEnvironment(AnsibleEnvironment):
    """Parses templates inside variables."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._lexer = _LiteralBackslashes(self)

    @property
    def lexer(self) -> Lexer:
        """The lexer that keeps backslashes."""
        return self._lexer
