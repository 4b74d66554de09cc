"""Filters, tests and globals as templates call them: under all their names, undefined in means undefined out."""

from collections.abc import Callable, Mapping
from typing import Any

from haproxy_sync.config.ansible import filters, tests
from haproxy_sync.config.ansible.missing import MissingError, first_missing
from haproxy_sync.config.ansible.output import listed
from haproxy_sync.errors import SyncError


class Unavailable(SyncError):
    """A template calls a function of Ansible that has no meaning without a control node, or gives no config twice."""


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


def _names(name: str) -> tuple[str, ...]:
    """The short name and those of the collections that hold it."""
    if name.startswith("ip"):
        return name, f"ansible.utils.{name}", f"ansible.netcommon.{name}"
    return name, f"ansible.builtin.{name}"


def _refusing(name: str, why: str) -> Callable[..., Any]:
    def refuse(*_args: Any, **_kwargs: Any) -> Any:
        raise Unavailable(f"{name}() is not available: {why}")

    return refuse


_LOOKUP = "there is no control node to look at; put the value into the variables file"
GLOBALS: Mapping[str, Callable[..., Any]] = {
    "lookup": _refusing("lookup", _LOOKUP),
    "query": _refusing("query", _LOOKUP),
    "q": _refusing("q", _LOOKUP),
    "now": _refusing("now", "a config with the time in it would differ in every run"),
    "lipsum": _refusing(
        "lipsum", "a config with random text would differ in every run"
    ),
}

FILTERS = _named(filters.FILTERS)
TESTS = _named(tests.TESTS)
