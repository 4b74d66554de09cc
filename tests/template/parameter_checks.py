"""Parameters take what they should and nothing else, and their defaults are careful. Each rule yields complaints."""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from haproxy_sync.errors import SettingsError
from haproxy_sync.settings import Settings
from tests.template import allowed
from tests.template.function_checks import parameter
from tests.template.parameter_values import BAD, GOOD, LETTERS, NUMBERS, STRANGE
from tests.template.planting import ref
from tests.template.shape_checks import differences, misshapen
from tests.template.stack import Resolver, Stack

# Beside type, description and default: each kind has its own fence.
FENCES: tuple[set[str], ...] = (
    {"AllowedPattern", "ConstraintDescription"},
    {"AllowedPattern", "ConstraintDescription", "MaxLength"},
    {"AllowedValues"},
    {"MinValue", "MaxValue"},
    {"MinValue", "MaxValue", "ConstraintDescription"},
)
CONSOLE = tuple(
    f"AWS::CloudFormation::Interface.ParameterGroups.{end}"
    for end in ("Label.default", "Parameters")
)
MUST_BE_GIVEN = {"Environment"}
# Longer values have no places of another kind.
A_GLANCE = 140


def parameters_are_listed(stack: Stack) -> Iterator[str]:
    """Each has its values in `parameter_values`, a description, one fence, and its place in the console."""
    parameters = stack.template["Parameters"]
    for values in (GOOD, BAD):
        yield from differences("Parameters", parameters.keys(), values.keys())
    bare = {name for name, each in parameters.items() if "Default" not in each}
    yield from differences("Parameters without a default", bare, MUST_BE_GIVEN)
    for name, each in parameters.items():
        fence = each.keys() - {"Type", "Description", "Default"}
        if fence not in FENCES or not each.get("Description"):
            yield f"{name} is described by {sorted(each)}"
    metadata = stack.template["Metadata"]
    yield from misshapen("Metadata", metadata, CONSOLE)
    groups = metadata["AWS::CloudFormation::Interface"]["ParameterGroups"]
    shown = [name for group in groups for name in group["Parameters"]]
    if sorted(shown) != sorted(parameters):
        yield f"the console shows {sorted({*shown} ^ {*parameters})} not once"


def parameters_take_what_they_should(stack: Stack) -> Iterator[str]:
    """Of `parameter_values` each good value and none of the bad; of a list nothing beside them; the own default."""
    for name, each in stack.template["Parameters"].items():
        good = [*GOOD[name], _default(each) or GOOD[name][0]]
        others = {*map(str, each.get("AllowedValues", []))} - {*good}
        refused = [value for value in good if not takes(each, value)]
        taken = [value for value in BAD[name] if takes(each, value)]
        if each["Type"] != ("Number" if name in NUMBERS else "String"):
            yield f"{name} is of type {each['Type']}"
        yield from (f"{name} refuses {value!r}" for value in refused)
        yield from (f"{name} takes {value!r}" for value in [*taken, *sorted(others)])


def parameters_take_no_strange_letter(stack: Stack) -> Iterator[str]:
    """Each letter that values have no use for is refused, wherever it stands in a good one."""
    for name, each in stack.template["Parameters"].items():
        if "AllowedPattern" in each:
            yield from strange(name, each["AllowedPattern"])


@lru_cache(maxsize=256)
def strange(name: str, pattern: str) -> tuple[str, ...]:
    """What the parameter's pattern takes of that; kept, since most changes of a template are not of its patterns."""
    letters = re.compile(f"[{LETTERS[name]}]")
    refused_, whole = [x for x in STRANGE if not letters.match(x)], java(pattern)
    values = {
        f"{good[:place]}{letter}{good[end:]}"
        for good in GOOD[name]
        if len(good) <= A_GLANCE
        for place in range(len(good) + 1)
        for letter in refused_
        for end in (place, place + 1)
    }
    return tuple(
        f"{name} takes {value!r}" for value in sorted(values) if whole.fullmatch(value)
    )


def takes(parameter: Mapping[str, Any], value: str) -> bool:
    """Whether CloudFormation takes the value: whole match of the pattern, one of the allowed, in range or length."""
    if "AllowedValues" in parameter:
        return value in map(str, parameter["AllowedValues"])
    if "MinValue" in parameter:
        least, most = float(parameter["MinValue"]), float(parameter["MaxValue"])
        return least <= float(value) <= most
    is_short = len(value) <= int(parameter.get("MaxLength", 4096))
    return is_short and java(parameter["AllowedPattern"]).fullmatch(value) is not None


def java(pattern: str) -> re.Pattern[str]:
    r"""A pattern as CloudFormation reads it: `\p` is Unicode's, all else is ASCII's."""
    if r"\p" in pattern:
        return re.compile(pattern.replace(r"\p{L}\p{N}", r"\w"))
    return re.compile(pattern, re.ASCII)


def defaults_are_the_codes(stack: Stack) -> Iterator[str]:
    """Who deploys without a word gets what the code, and so every test of it, has without a word."""
    for variable in Settings.variables().values():
        found = stack.template["Parameters"].get(parameter(variable.name))
        if found is not None and variable.default != _default(found):
            yield f"{parameter(variable.name)} is {_default(found)!r}, of the code {variable.default!r}"


def _default(parameter: Mapping[str, Any]) -> str | None:
    return str(parameter["Default"]) if "Default" in parameter else None


CAREFUL: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "StartFrozen": (bool, "a first deploy changes no proxy until somebody looked"),
    "EmptyPool": ("hold".__eq__, "no proxy loses its last backend unasked"),
    "MinBackends": (lambda least: least >= 1, "no proxy is left without a backend"),
    "MaxLossPercent": (lambda most: most <= 50, "half of a pool never goes unnoticed"),
    "HoldMinutes": (lambda held: 300 <= held <= 3600, "a fault of EC2's is waited for"),
    "Canary": (bool, "one proxy proves a config before the others get it"),
    "MaxErrors": (lambda most: most.number == 0, "the first failure stops a rollout"),
    "SweepRate": (lambda beat: beat <= 60, "a lost event matters for a minute at most"),
    "DriftCheckMinutes": (lambda beat: beat <= 3600, "drift is found within the hour"),
    "JoinWhen": ("in-service".__eq__, "no traffic before the group's own checks"),
    "DrainSeconds": (lambda time: 0 < time <= 600, "requests may end"),
    "LogLevel": ("INFO".__eq__, "what the function did is in the log"),
    "LogRetentionDays": (
        lambda days: int(days) >= 14,
        "an accident can be looked into",
    ),
    "ProxyRoles": ("".__eq__, "no role that nobody named gets a policy"),
    "SecretArns": ("".__eq__, "no secret that nobody named is read"),
    "SecretKeys": ("".__eq__, "nor decrypted"),
    "TemplateWriters": ("".__eq__, "nobody is kept out whom nobody thought of"),
    "BreakGlass": ("".__eq__, "who deploys is not locked out"),
}
"""What each is by default, in the world's terms and of times in seconds; the others are a matter of taste."""


def defaults_are_careful(stack: Stack) -> Iterator[str]:
    """Whatever the code has: what harms nobody, loses nothing and tells all."""
    parameters = stack.template["Parameters"]
    yield from careless({name: _default(parameters[name]) or "" for name in CAREFUL})


def careless(values: Mapping[str, str]) -> Iterator[str]:
    """Which of the parameters' values are not careful."""
    known = Settings.variables().values()
    parsers = {parameter(variable.name): variable.parse for variable in known}
    for name in values.keys() & CAREFUL.keys():
        is_careful, why = CAREFUL[name]
        if not _holds(is_careful, parsers.get(name, str), values[name]):
            yield f"{name}={values[name]}: {why}"


def _holds(
    is_careful: Callable[[Any], bool], parse: Callable[[str], Any], text: str
) -> bool:
    try:
        return is_careful(parse(text))
    except SettingsError:
        return False


def contradictions_are_refused(stack: Stack) -> Iterator[str]:
    """By a rule of CloudFormation, so before anything is made, and by none of its own the stack itself."""
    shape = ("Assertions.Assert*", "Assertions.AssertDescription")
    for name, rule in stack.template["Rules"].items():
        yield from misshapen(name, rule, shape)
    if refused(stack, {}):
        yield f"Rules refuse this stack: {refused(stack, {})}"
    for one, other in allowed.DIFFERENT.values():
        yield from _told(stack, one, other, {one: stack.parameters[other]})


def companions_come_together(stack: Stack) -> Iterator[str]:
    """A rule refuses one without the other."""
    for one, other in allowed.COMPANIONS.values():
        yield from _told(stack, one, other, {one: GOOD[one][1], other: ""})


def _told(
    stack: Stack, one: str, other: str, parameters: Mapping[str, str]
) -> Iterator[str]:
    said = refused(stack, parameters)
    if not (len(said) == 1 and one in said[0] and other in said[0]):
        yield f"{one} and {other} of {parameters} get the answer {said}"


def conditions_ask_for_their_parameters(stack: Stack) -> Iterator[str]:
    """Conditions and rules are written the one way, so that they hold whatever all other parameters are."""
    conditions = {name: given(each) for name, each in allowed.CONDITIONS.items()}
    yield from _written("Conditions", stack.template["Conditions"], conditions)
    found = {
        name: [each["Assert"] for each in rule["Assertions"]]
        for name, rule in stack.template["Rules"].items()
    }
    rules = {
        name: [{"Fn::Not": [same(ref(one), ref(other))]}]
        for name, (one, other) in allowed.DIFFERENT.items()
    } | {
        name: [{"Fn::Or": [same(ref(one), ""), given(other)]}]
        for name, (one, other) in allowed.COMPANIONS.items()
    }
    yield from _written("Rules", found, rules)


def given(parameter: str) -> dict[str, Any]:
    """That it is not empty."""
    return {"Fn::Not": [same(ref(parameter), "")]}


def same(one: Any, other: Any) -> dict[str, Any]:
    """That both are one."""
    return {"Fn::Equals": [one, other]}


def _written(
    section: str, found: Mapping[str, Any], wanted: Mapping[str, Any]
) -> Iterator[str]:
    yield from differences(section, found.keys(), wanted.keys())
    for name in found.keys() & wanted.keys():
        if found[name] != wanted[name]:
            yield f"{name} asks for {found[name]}, not for {wanted[name]}"


def refused(stack: Stack, parameters: Mapping[str, str]) -> list[str]:
    """What CloudFormation says to these parameters before it makes anything."""
    resolver = Resolver({**stack.parameters, **parameters}, {})
    return [
        assertion["AssertDescription"]
        for rule in resolver.resolve(stack.template["Rules"]).values()
        for assertion in rule["Assertions"]
        if not assertion["Assert"]
    ]
