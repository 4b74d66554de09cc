"""The agent's own checks of parameters, and how it puts values into a step.

Values replace `{{ Name }}` as raw text: quotes and `$( )` in them reach the shell. With `interpolationType: ENV_VAR` an
agent that knows it leaves the text alone and passes `SSM_<name>` in the environment.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import re2  # type: ignore[import-untyped] # ships no types

from local.agent.script import variable
from local.run_command import Order

_REFERENCE = re.compile(r"\{\{\s*([a-zA-Z0-9]+)\s*\}\}")

type Texts = Mapping[str, str]


class Refused(Exception):
    """The agent runs no step of this document."""


@dataclass(frozen=True, slots=True)
class Values:
    """What a document's parameters came to on this host."""

    text: Texts
    """To be pasted."""
    environment: Texts
    """To be passed to scripts."""


def resolve(order: Order, *, supports_env_var: bool) -> Values:
    """Values of all declared parameters, checked as the agent checks them.

    Raises Refused for a value or default that its allowedPattern does not let through, for a pattern that RE2 does not
    compile, and for a parameter without any value, which the service never sends.
    """
    text: dict[str, str] = {}
    environment: dict[str, str] = {}
    for name, declaration in (order.content.get("parameters") or {}).items():
        value = _value(name, declaration, order)
        if supports_env_var and declaration.get("interpolationType") == "ENV_VAR":
            environment[variable(name)] = value
        else:
            text[name] = value
    return Values(text, environment)


def _value(name: str, declaration: Mapping[str, Any], order: Order) -> str:
    given = order.parameters.get(name) or (declaration.get("default"),)
    value = given[0]
    if value is None:
        raise Refused(f"parameter {name} has neither value nor default")
    _check_pattern(name, declaration.get("allowedPattern", ""), str(value))
    return str(value)


def _check_pattern(name: str, pattern: str, value: str) -> None:
    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        raise Refused(
            f"allowedPattern of parameter {name} does not compile: {error}"
        ) from error
    if not compiled.search(value):
        raise Refused(
            f"parameter value for {name} does not match the allowed pattern {pattern}"
        )


@singledispatch
def fill_in(node: Any, _values: Texts) -> Any:
    """A step's inputs with every declared reference replaced, in one pass; numbers and such stay as they are."""
    return node


@fill_in.register(dict)
def _fill_in_mapping(node: dict[str, Any], values: Texts) -> dict[str, Any]:
    return {key: fill_in(item, values) for key, item in node.items()}


@fill_in.register(list)
def _fill_in_list(node: list[Any], values: Texts) -> list[Any]:
    return [fill_in(item, values) for item in node]


@fill_in.register(str)
def _fill_in_text(node: str, values: Texts) -> str:
    whole = _REFERENCE.fullmatch(node.strip())
    if whole:
        return values.get(whole[1], node)
    return _REFERENCE.sub(lambda found: _pasted(found, values), node)


def _pasted(found: re.Match[str], values: Texts) -> str:
    """The value, or the reference itself where nothing of that name is declared."""
    return values[found[1]].replace("$$", "$") if found[1] in values else found[0]
