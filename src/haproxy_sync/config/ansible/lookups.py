"""`lookup` and `query`, as far as they need no control node: variables, templates and host patterns."""

import re
from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping
from fnmatch import translate
from functools import partial
from itertools import chain
from typing import Any

from jinja2 import pass_context
from jinja2.runtime import Context

from haproxy_sync.config.ansible.containers import difference, intersect
from haproxy_sync.config.ansible.missing import Missing
from haproxy_sync.config.ansible.names import require
from haproxy_sync.config.ansible.source import split_header, with_newlines_of
from haproxy_sync.errors import SyncError

type _Groups = Mapping[str, Iterable[str]]


class Unavailable(SyncError):
    """A template calls what nobody has, what means nothing without a control node, or what gives no config twice."""


def _variables(
    context: Context, names: Iterable[Any], *, default: Any = None
) -> list[Any]:
    """The values of variables, or the default where there is none; what the template sets is no variable."""
    return [_variable(context.parent, name, default) for name in names]


def _variable(variables: Mapping[str, Any], name: Any, default: Any) -> Any:
    require(isinstance(name, str), f"lookup('vars') takes names, not {name!r}")
    if name in variables:
        return variables[name]
    return Missing(name=name) if default is None else default


_DELIMITERS = frozenset({
    "comment_end_string", "comment_start_string", "trim_blocks", "variable_end_string", "variable_start_string",
})  # fmt: skip
_WITHOUT_EFFECT = frozenset({"convert_data", "jinja2_native"})


def _templates(
    context: Context,
    names: Iterable[str],
    *,
    template_vars: Mapping[str, Any] | None = None,
    **options: Any,
) -> list[Any]:
    """What other templates of the set render to (`ValueError` for an option that Ansible does not have)."""
    unknown = sorted(options.keys() - _DELIMITERS - _WITHOUT_EFFECT)
    require(not unknown, f"lookup('template') has no option {', '.join(unknown)}")
    overrides = {name: options[name] for name in _DELIMITERS & options.keys()}
    variables = ChainMap(dict(template_vars or {}), context.parent)
    return [_rendered(context, name, overrides, variables) for name in names]


def _rendered(
    context: Context,
    name: str,
    overrides: Mapping[str, Any],
    variables: Mapping[str, Any],
) -> Any:
    environment: Any = context.environment
    source, _, _ = environment.loader.get_source(environment, name)
    options, body = split_header(source)
    template = environment.adjusted({**overrides, **options}).compiled(body, name)
    return with_newlines_of(source, template.value(variables))


_SUBSCRIPT = re.compile(r"((?!~).+)\[(?:(-?\d+)|(\d+)[:-](\d*))\]", re.ASCII)
_WITH_PORT = re.compile(r"[^:\[\]]+:\d+", re.ASCII)
_PATTERN = re.compile(r"(?:[^\s:\[\]]|\[[^\]]*\])+")
_FINDS_BOTH = re.compile(r"\A~|[.?*\[]")
_IMPLICIT = ("127.0.0.1", "::1", "localhost")
"""What Ansible takes for the control node; no host here has one of these names."""


def hostnames(groups: _Groups, patterns: Iterable[str]) -> list[str]:
    """The hosts that a play with these `hosts:` has, in their order: `a:b`, `a:&b`, `a:!b`, `*`, `~regex`, `a[0]`."""
    parts = map(partial(_parts, groups), map(str, patterns))
    single = list(chain.from_iterable(parts))
    found = [] if 0 in map(_rank, single) else list(groups["all"])
    for pattern in sorted(single, key=_rank):
        found = _COMBINED[_rank(pattern)](found, _matches(groups, pattern.lstrip("&!")))
    return list(dict.fromkeys(found))


def _parts(groups: _Groups, pattern: str) -> list[str]:
    """Patterns without a separator."""
    if "," in pattern:
        return list(filter(None, map(str.strip, pattern.split(","))))
    if pattern in groups["all"] or _WITH_PORT.fullmatch(pattern):
        return [pattern]
    return _PATTERN.findall(pattern)


def _rank(pattern: str) -> int:
    """Those that add come first, then those that both must have, then those that nobody may have."""
    return _MODIFIERS.get(pattern[0], 0)


_MODIFIERS = {"&": 1, "!": 2}


_COMBINED: tuple[Callable[[list[str], list[str]], list[str]], ...] = (
    lambda found, more: found + more,
    intersect,
    difference,
)


def _matches(groups: _Groups, pattern: str) -> list[str]:
    subscript = _SUBSCRIPT.fullmatch(pattern)
    if subscript is None:
        return _named(groups, pattern)
    expression, index, first, last = subscript.groups()
    found = _named(groups, expression)
    if index:
        return [found[int(index)]]
    return found[int(first) : int(last) + 1 if last else None]


def _named(groups: _Groups, pattern: str) -> list[str]:
    """The hosts of the groups that match, else the hosts that match; a glob or a regular expression finds both."""
    matches = partial(_match, pattern)
    matching = list(filter(matches, groups))
    found = list(chain.from_iterable(map(groups.__getitem__, matching)))
    if not matching or _FINDS_BOTH.search(pattern):
        found += filter(matches, groups["all"])
    return found or list(filter(pattern.__eq__, _IMPLICIT))


def _match(pattern: str, name: str) -> bool:
    expression = pattern[1:] if pattern.startswith("~") else translate(pattern)
    return re.match(expression, name) is not None


def _hostnames(context: Context, patterns: Iterable[str]) -> list[str]:
    given = tuple(patterns)
    try:
        return hostnames(context.parent["groups"], given) if given else []
    except IndexError:  # the group is smaller than the subscript
        return []


_LOOKUPS: Mapping[str, Callable[..., list[Any]]] = {
    "inventory_hostnames": _hostnames,
    "template": _templates,
    "vars": _variables,
}


@pass_context
def query(context: Context, name: str, *terms: Any, **options: Any) -> list[Any]:
    """What a lookup finds. Raises `Unavailable` for those that need a control node."""
    short = name.removeprefix("ansible.builtin.").removeprefix("ansible.legacy.")
    if short not in _LOOKUPS:
        raise Unavailable(
            f"lookup({name!r}) is not available: there is no control node to look at; put the value into the"
            f" variables file ({', '.join(_LOOKUPS)} are available)"
        )
    wanted = {key: value for key, value in options.items() if key not in _OF_CALLS}
    return _LOOKUPS[short](context, terms, **wanted)


_OF_CALLS = frozenset({"errors", "wantlist"})
"""Options of every lookup. An error is one here, whatever the template would do with it."""


@pass_context
def lookup(context: Context, name: str, *terms: Any, **options: Any) -> Any:
    """As `query`, but one result stands for itself and texts are one, with commas between."""
    found = query(context, name, *terms, **options)
    if options.get("wantlist"):
        return found
    return found[0] if len(found) == 1 else _joined(found)


def _joined(found: list[Any]) -> Any:
    try:
        return ",".join(found) or found
    except TypeError:  # not all of it is text
        return found
