"""The Jinja2 environment: what a node prints, what an expression returns, which names exist."""

from collections import ChainMap
from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, MutableMapping, ValuesView
from typing import Any, cast, override

from jinja2 import Template, nodes, pass_context
from jinja2.compiler import Frame
from jinja2.idtracking import VAR_LOAD_PARAMETER
from jinja2.lexer import Lexer
from jinja2.nativetypes import NativeCodeGenerator
from jinja2.runtime import Context, Macro
from jinja2.sandbox import SandboxedEnvironment
from jinja2.utils import missing as jinja_missing

from haproxy_sync.ansible.filters import FILTERS
from haproxy_sync.ansible.missing import Missing, MissingError, first_missing
from haproxy_sync.ansible.tests import TESTS

MAX_CHARACTERS = 16 * 1024 * 1024
"""Cap on one rendered text: ten times the config of 50,000 servers, and far below the function's memory (F41)."""

_VIEWS = (Iterator, KeysView, ValuesView, ItemsView)
_PRINTED_AS_LIST = (list, tuple)


class Refused(Exception):
    """A construct of Ansible that has no meaning without a control node, or output that grew too large."""


def plain(value: Any) -> Any:
    """`value` with every container as plain `dict` and `list`: Ansible prints tuples as lists, too."""
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if type(value) in _PRINTED_AS_LIST or isinstance(value, list):
        return [plain(item) for item in value]
    return value


def text(value: Any) -> str:
    """What Ansible prints for a value of one node."""
    return value if isinstance(value, str) else str(plain(value))


def concat(nodes: Iterable[Any]) -> Any:
    """The result of a template: nothing is None, a single node keeps its type, more become one text."""
    parts = [node for node in nodes if node is not None]
    if len(parts) <= 1:
        return parts[0] if parts else None
    texts = [part if type(part) is str else text(part) for part in parts]
    if sum(map(len, texts)) > MAX_CHARACTERS:
        raise Refused(f"the output exceeds {MAX_CHARACTERS} characters")
    return "".join(texts)


def listed(value: Any) -> Any:
    """Filters and calls never return an iterator: Ansible makes it a list."""
    return list(value) if isinstance(value, _VIEWS) else value


def _tolerant(function: Callable[..., Any], *, takes_missing: bool) -> Callable[..., Any]:
    """Wrap a filter or test: an undefined argument is its result, an iterator becomes a list."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if not takes_missing and (undefined := first_missing(args, kwargs)) is not None:
            return undefined
        try:
            return listed(function(*args, **kwargs))
        except MissingError as error:
            return error.source

    # Jinja marks `pass_environment` and the like by attributes of the function.
    wrapper.__dict__.update(getattr(function, "__dict__", {}))
    return wrapper


_TAKES_MISSING = frozenset({"default", "d", "mandatory", "ternary", "type_debug", "defined", "undefined"})


def _named(functions: Mapping[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """Every function under its own name and those it has as a part of a collection."""
    wrapped: dict[str, Callable[..., Any]] = {}
    for name, function in functions.items():
        wrapped[name] = _tolerant(function, takes_missing=name in _TAKES_MISSING)
        collections = ("ansible.utils", "ansible.netcommon") if name.startswith("ip") else ("ansible.builtin",)
        for collection in collections:
            wrapped[f"{collection}.{name}"] = wrapped[name]
    return wrapped


def _refusing(name: str, why: str) -> Callable[..., Any]:
    def refuse(*_args: Any, **_kwargs: Any) -> Any:
        raise Refused(f"{name}() is not available: {why}")

    return refuse


_LOOKUP = "there is no control node to look at; put the value into the variables file"
_GLOBALS: Mapping[str, Callable[..., Any]] = {
    "lookup": _refusing("lookup", _LOOKUP),
    "query": _refusing("query", _LOOKUP),
    "q": _refusing("q", _LOOKUP),
    "now": _refusing("now", "a config with the time in it would differ in every run"),
    "lipsum": _refusing("lipsum", "a config with random text would differ in every run"),
}


@pass_context
def _keep(_context: Context, value: Any) -> Any:
    """Stop at an undefined node while its line is known. Taking the context keeps constants from becoming text."""
    if isinstance(value, Missing):
        str(value)
    return value


class _Unread:
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
        load = frame.symbols.find_load(reference)
        if load is not None and load[0] == VAR_LOAD_PARAMETER and not self.parameter_is_undeclared(reference):
            return self.write(reference)
        found = f"environment.read({reference})"
        return self.write(f"(undefined(name={node.name!r}) if {reference} is missing else {found})")


class _Context(Context):
    def resolve_or_missing(self, key: str) -> Any:
        if key in self.vars:
            return self.vars[key]
        return _Unread(self.parent, key) if key in self.parent else jinja_missing

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
        own = {name: value for name, value in (locals or {}).items() if value is not jinja_missing}
        layers = [own, vars or {}, {} if shared else self.globals]
        parent = cast("dict[str, Any]", ChainMap(*cast("list[MutableMapping[str, Any]]", layers)))
        return self.environment.context_class(self.environment, parent, self.name, self.blocks, globals=self.globals)

    def value(self, variables: Mapping[str, Any]) -> Any:
        """The native result."""
        return concat(self.root_render_func(self.new_context(variables)))


class AnsibleEnvironment(SandboxedEnvironment):
    """For template files. `trim_blocks`, no extensions, sandboxed; lists may be appended to, as templates do."""

    context_class = _Context
    template_class = AnsibleTemplate
    code_generator_class = _CodeGenerator
    concat = staticmethod(concat)

    def __init__(self, **options: Any) -> None:
        own: dict[str, Any] = {"undefined": Missing, "finalize": _keep, "optimized": False}
        super().__init__(**{"trim_blocks": True, **options, **own})
        self.filters = cast("Any", _FILTERS)
        self.tests = cast("Any", _TESTS)
        self.globals.update(_GLOBALS)

    @staticmethod
    def read(found: Any) -> Any:
        """The value of a variable, rendered now."""
        while type(found) is _Unread:
            found = found.variables[found.name]
        return found

    def getattr(self, obj: Any, attribute: str) -> Any:
        """The attribute, else the key; a key may have a name that the sandbox protects as an attribute."""
        try:
            value = getattr(obj, attribute)
        except AttributeError:
            safe = True
        else:
            if (safe_format := self.wrap_str_format(value)) is not None:
                return safe_format
            if safe := self.is_safe_attribute(obj, attribute, value):
                return value
        try:
            return obj[attribute]
        except (TypeError, LookupError):
            if not safe:
                return self.unsafe_undefined(obj, attribute)
            return self.undefined(f"{_kind(obj)} has no attribute {attribute!r}", obj=obj, name=attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """The item, else the attribute of that name."""
        found = super().getitem(obj, argument)
        if isinstance(found, Missing) and found is not obj:
            return self.undefined(f"{_kind(obj)} has no item {argument!r}", obj=obj, name=argument)
        return found

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a macro, a method or a global; an undefined argument is the result."""
        if not isinstance(obj, Macro) and (undefined := first_missing(args, kwargs)) is not None:
            return undefined
        try:
            return listed(super().call(context, obj, *args, **kwargs))
        except MissingError as error:
            return error.source


def _kind(value: Any) -> str:
    """What a template's author would call it."""
    return next((kind.__name__ for kind in (dict, list) if isinstance(value, kind)), type(value).__name__)


class _LiteralBackslashes(Lexer):
    r"""In YAML values a backslash of a string constant in `{{ }}` is one: `'\1'` reaches `regex_replace` whole."""

    def tokeniter(self, *args: Any, **kwargs: Any) -> Iterator[tuple[int, str, str]]:
        in_variable = False
        for line, kind, token in super().tokeniter(*args, **kwargs):
            if kind in {"variable_begin", "variable_end"}:
                in_variable = kind == "variable_begin"
            yield line, kind, token.replace("\\", r"\\") if in_variable and kind == "string" else token


class ValueEnvironment(AnsibleEnvironment):
    """Parses templates inside variables."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._lexer = _LiteralBackslashes(self)

    @property
    def lexer(self) -> Lexer:
        """The lexer that keeps backslashes."""
        return self._lexer


_FILTERS = _named(FILTERS)
_TESTS = _named(TESTS)
