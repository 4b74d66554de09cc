"""The agent's own checks of parameters, and how it puts values into a step.

Values replace `{{ Name }}` as raw text: quotes and `$( )` in them reach the shell. With `interpolationType: ENV_VAR` an
agent that knows it leaves the text alone and passes `SSM_<name>` in the environment.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import re2  # type: ignore[import-untyped] # ships no types

from local.run_command import Order

_NAME = re.compile(r"[a-zA-Z0-9]+")
_REFERENCE = re.compile(r"\{\{\s*([a-zA-Z0-9]+)\s*\}\}")
_STORED = re.compile(r"\{\{\s*ssm:([^\s{}]+)\s*\}\}")
_HTML = str.maketrans({"<": r"\u003c", ">": r"\u003e", "&": r"\u0026"})

type Value = str | list[str] | None


class Refused(Exception):
    """The agent runs no step of this document."""


@dataclass(frozen=True, slots=True)
class Values:
    """What a document's parameters came to on this host."""

    text: Mapping[str, Value]
    """To be pasted."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """To be passed to scripts."""


def resolve(order: Order, stored: Mapping[str, str], *, knows_env_var: bool) -> Values:
    """Values of all declared parameters, checked as the agent checks them; `stored` plays Parameter Store.

    Raises Refused for a value or default that its allowedPattern does not let through, for a pattern that RE2 does not
    compile, for a pattern without any value, and for an unknown name in Parameter Store.
    """
    text: dict[str, Value] = {}
    environment: dict[str, str] = {}
    for name, declaration in (order.content.get("parameters") or {}).items():
        value = _value(name, declaration, order)
        _check_pattern(name, declaration, value)
        if knows_env_var and declaration.get("interpolationType") == "ENV_VAR":
            environment[f"SSM_{name}"] = from_store(str(value or ""), stored)
        else:
            text[name] = value
    return Values(text, environment)


def _value(name: str, declaration: Mapping[str, Any], order: Order) -> Value:
    # A value for a name that the agent does not like is dropped, and the default taken, with a log line only.
    given = order.parameters.get(name) if _NAME.fullmatch(name) else None
    if declaration["type"] == "StringList":
        return list(given) if given is not None else declaration.get("default")
    value = given[0] if given else declaration.get("default")
    return value if value is None else str(value)


def _check_pattern(name: str, declaration: Mapping[str, Any], value: Value) -> None:
    pattern = declaration.get("allowedPattern")
    if not pattern:
        return
    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        raise Refused(f"allowedPattern of parameter {name} does not compile: {error}") from error
    if value is None:
        raise Refused(f"parameter {name} has an allowedPattern, but neither value nor default")
    for one in value if isinstance(value, list) else [value]:
        if not compiled.search(one):
            raise Refused(f"parameter value for {name} does not match the allowed pattern {pattern}")


def fill_in(node: Any, text: Mapping[str, Value], stored: Mapping[str, str]) -> Any:
    """A step's inputs with every declared reference replaced, in one pass, and Parameter Store names resolved."""
    if isinstance(node, Mapping):
        return {key: fill_in(item, text, stored) for key, item in node.items()}
    if isinstance(node, list):
        return [fill_in(item, text, stored) for item in node]
    if not isinstance(node, str):
        return node
    whole = _REFERENCE.fullmatch(node.strip())
    if whole and isinstance(value := text.get(whole[1]), list):
        return value
    if whole and isinstance(value, str):
        return from_store(value, stored)
    return from_store(_REFERENCE.sub(lambda found: _pasted(found, text), node), stored)


def _pasted(found: re.Match[str], text: Mapping[str, Value]) -> str:
    if found[1] not in text:
        return found[0]
    value = text[found[1]]
    pasted = value if isinstance(value, str) else json.dumps(value, separators=(",", ":")).translate(_HTML)
    return pasted.replace("$$", "$")


def from_store(text: str, stored: Mapping[str, str]) -> str:
    """The text with `{{ ssm:name }}` replaced; an unknown name fails the command."""

    def look_up(found: re.Match[str]) -> str:
        if found[1] not in stored:
            raise Refused(f"Parameter Store has no {found[1]}")
        return stored[found[1]]

    return _STORED.sub(look_up, text)
