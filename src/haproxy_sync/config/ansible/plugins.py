"""Filters, tests and globals as templates call them: under all their names, undefined in means undefined out."""

from collections.abc import Callable, Mapping
from typing import Any

from haproxy_sync.config.ansible import filters, tests
from haproxy_sync.config.ansible.missing import MissingError, first_missing
from haproxy_sync.config.ansible.output import Refused, listed


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
GLOBALS: Mapping[str, Callable[..., Any]] = {
    "lookup": _refusing("lookup", _LOOKUP),
    "query": _refusing("query", _LOOKUP),
    "q": _refusing("q", _LOOKUP),
    "now": _refusing("now", "a config with the time in it would differ in every run"),
    "lipsum": _refusing("lipsum", "a config with random text would differ in every run"),
}

FILTERS = _named(filters.FILTERS)
TESTS = _named(tests.TESTS)
