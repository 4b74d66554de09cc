"""Filters, tests and globals as templates call them: under all their names, undefined in means undefined out."""

from collections.abc import Callable, Mapping
from typing import Any

from haproxy_sync.config.ansible import filters, tests
from haproxy_sync.config.ansible.lookups import Unavailable, lookup, query
from haproxy_sync.config.ansible.missing import MissingError, first_missing
from haproxy_sync.config.ansible.output import listed


class _Registry(dict[str, Callable[..., Any]]):
    """Filters or tests by name.

    Jinja looks for those inside an `if` as late as it calls them, and its own stand-in for one that it does not find
    hides the line and takes no keyword. This one is no part of the template, so the error has the line of the call.
    """

    def __init__(self, what: str, functions: Mapping[str, Callable[..., Any]]) -> None:
        super().__init__(_named(functions))
        self._what = what

    def __missing__(self, name: str) -> Callable[..., Any]:
        """A function that refuses every call."""
        return _raising(f"No {self._what} named {name!r} found.")


def _tolerant(
    function: Callable[..., Any], *, takes_missing: bool
) -> Callable[..., Any]:
    """Wrap a filter or test: an undefined argument is its result, an iterator becomes a list."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if not takes_missing:
            undefined = first_missing(args, kwargs)
            if undefined is not None:
                return undefined
        try:
            return listed(function(*args, **kwargs))
        except MissingError as error:
            return error.source

    # Jinja marks `pass_environment` and the like by attributes of the function.
    wrapper.__dict__.update(getattr(function, "__dict__", {}))
    return wrapper


_TAKES_MISSING = frozenset(
    {
        "d",
        "default",
        "defined",
        "mandatory",
        "ternary",
        "type_debug",
        "undefined",
    }
)


def _named(
    functions: Mapping[str, Callable[..., Any]],
) -> dict[str, Callable[..., Any]]:
    """Every function under all its names."""
    wrapped: dict[str, Callable[..., Any]] = {}
    for name, function in functions.items():
        tolerant = _tolerant(function, takes_missing=name in _TAKES_MISSING)
        wrapped |= dict.fromkeys(_names(name), tolerant)
    return wrapped


_OF_COLLECTIONS = frozenset(
    {"in_network", "ipaddr", "ipmath", "ipsubnet", "ipv4", "ipv6", "ipwrap", "nthhost"}
)


def _names(name: str) -> tuple[str, ...]:
    """The short name and those of the collections that hold it."""
    if name in _OF_COLLECTIONS:
        return name, f"ansible.utils.{name}", f"ansible.netcommon.{name}"
    return name, f"ansible.builtin.{name}", f"ansible.legacy.{name}"


def _raising(message: str) -> Callable[..., Any]:
    def refuse(*_args: Any, **_kwargs: Any) -> Any:
        raise Unavailable(message)

    return refuse


def _refusing(name: str, why: str) -> Callable[..., Any]:
    return _raising(f"{name}() is not available: {why}")


GLOBALS: Mapping[str, Callable[..., Any]] = {
    "lookup": lookup,
    "query": query,
    "q": query,
    "now": _refusing("now", "a config with the time in it would differ in every run"),
    "lipsum": _refusing(
        "lipsum", "a config with random text would differ in every run"
    ),
}

FILTERS = _Registry("filter", filters.FILTERS)
TESTS = _Registry("test", tests.TESTS)
