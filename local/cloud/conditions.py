"""Conditions of IAM policies, by AWS's "Condition operators" and "Single-valued vs. multivalued context keys".

What is not in the tables here is an error, never a silent answer: an operator, a key, a set operator with `IfExists`,
several values without a set operator, a policy variable that nothing fills.
"""

import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from ipaddress import ip_network
from operator import eq, ge, gt, le, lt
from typing import Any

type Context = Mapping[str, str | Sequence[str]]
"""Keys of a request; one that may have several values has a sequence, even of one or of none."""

VARIABLE = re.compile(r"\$\{([^}]*)\}")
DEFAULT = re.compile(r"([^,\s]+)\s*,\s*'([^']*)'")
ESCAPES = ("*", "?", "$")
OPERATOR = re.compile(
    r"(?:(?P<each>ForAllValues|ForAnyValue):)?(?P<base>[A-Za-z]+?)(?P<lenient>IfExists)?"
)
ARN_PARTS = 6

KEYS = re.compile(
    r"""
    aws:(PrincipalArn|PrincipalAccount|PrincipalType|PrincipalOrgID|PrincipalIsAWSService|PrincipalServiceName
        |SourceArn|SourceAccount|SourceIp|SourceVpc|SourceVpce|SecureTransport|CalledVia|CalledViaFirst|CalledViaLast
        |ViaAWSService|MultiFactorAuthPresent|MultiFactorAuthAge|CurrentTime|EpochTime|RequestedRegion|TagKeys
        |userid|username|UserAgent)
    |aws:(Principal|Resource|Request)Tag/.+
    |(ssm|autoscaling):ResourceTag/.+
    |s3:(prefix|delimiter|max-keys|VersionId|DataAccessPointArn|x-amz-acl)
    |kms:ViaService|kms:EncryptionContext:.+
    |lambda:FunctionArn|iam:PassedToService|iam:PolicyARN
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""Those that policies and requests here may have; IAM does not tell upper from lower case in them."""


class NotJudged(NotImplementedError):
    """Something of IAM that these tables do not have; the message names it."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is not judged here: add it to local/cloud")


def check_keys(names: Iterable[str]) -> None:
    """Refuse a key that is not known: it may be mistyped."""
    for name in names:
        if not KEYS.fullmatch(name):
            raise NotJudged(f"condition key {name}")


def found(key: str, context: Context) -> list[str | Sequence[str]]:
    """What a request has under the key, in any spelling of it."""
    return [value for name, value in context.items() if name.lower() == key.lower()]


# Text with wildcards and variables.


def expression(pattern: str, context: Context, *, wild: bool = True) -> str:
    """A regular expression of IAM's text: `*` is any text, `?` any one character, `${key}` what the request has."""
    return "".join(
        _piece(piece, context, wild=wild)
        for piece in re.split(r"(\$\{[^}]*\}|[*?])", pattern)
    )


def _piece(piece: str, context: Context, *, wild: bool) -> str:
    variable = VARIABLE.fullmatch(piece)
    if variable:
        return re.escape(_filled(variable[1], context))
    return {"*": ".*", "?": "."}.get(piece if wild else "", re.escape(piece))


def _filled(name: str, context: Context) -> str:
    """An escaped character, or the one value of a key, or the default that the policy gives."""
    if name in ESCAPES:
        return name
    default = DEFAULT.fullmatch(name)
    values = found(default[1] if default else name, context)
    match values:
        case [str(value)]:
            return value
        case [] if default:
            return default[2]
    raise NotJudged(f"policy variable {name}, for which the request has {values},")


def like(pattern: str, value: str, context: Context | None = None) -> bool:
    """Whether the whole text is as the pattern says, letter by letter."""
    regex = expression(pattern, context or {})
    return re.fullmatch(regex, value, re.DOTALL) is not None


def arn_like(pattern: str, value: str, context: Context | None = None) -> bool:
    """The same of ARNs: each of the six parts for itself, so no wildcard reaches over a colon into the next."""
    patterns, values = (
        pattern.split(":", ARN_PARTS - 1),
        value.split(":", ARN_PARTS - 1),
    )
    if len(patterns) != ARN_PARTS:
        raise NotJudged(f"{pattern}, which is no ARN of six parts,")
    return len(values) == ARN_PARTS and all(
        like(one, other, context) for one, other in zip(patterns, values, strict=True)
    )


# Operators: whether one value of the policy (the first) is met by one of the request.

type Compare = Callable[[str, str, Context], bool]


def _text(flags: int, *, wild: bool) -> Compare:
    return lambda expected, actual, context: (
        re.fullmatch(
            expression(expected, context, wild=wild), actual, re.DOTALL | flags
        )
        is not None
    )


def _read(read: Callable[[str], Any], compare: Callable[[Any, Any], bool]) -> Compare:
    """The value of the request stands on the left."""

    def compared(expected: str, actual: str, _: Context) -> bool:
        try:
            return compare(read(actual), read(expected))
        except (ArithmeticError, KeyError, ValueError) as error:
            raise NotJudged(f"{actual} beside {expected}") from error

    return compared


def _moment(text: str) -> datetime:
    if re.fullmatch(r"\d+", text):
        return datetime.fromtimestamp(int(text), UTC)
    return datetime.fromisoformat(text)


def _truth(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


def _ordered(kind: str, read: Callable[[str], Any]) -> dict[str, Compare]:
    names = {
        "Equals": eq, "LessThan": lt, "LessThanEquals": le, "GreaterThan": gt, "GreaterThanEquals": ge,
    }  # fmt: skip
    return {f"{kind}{name}": _read(read, compare) for name, compare in names.items()}


COMPARES: Mapping[str, Compare] = {
    "StringEquals": _text(0, wild=False),
    "StringEqualsIgnoreCase": _text(re.IGNORECASE, wild=False),
    "StringLike": _text(0, wild=True),
    "ArnEquals": arn_like,
    "ArnLike": arn_like,
    "Bool": _read(_truth, eq),
    "BinaryEquals": _read(b64decode, eq),
    "IpAddress": _read(ip_network, lambda actual, expected: actual.subnet_of(expected)),
    **_ordered("Numeric", Decimal),
    **_ordered("Date", _moment),
}
NEGATED = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
    "NotIpAddress": "IpAddress",
    "NumericNotEquals": "NumericEquals",
    "DateNotEquals": "DateEquals",
}


@dataclass(frozen=True, slots=True)
class Condition:
    """One operator, one key, and the values of the policy, of which any one will do."""

    each: str  # `ForAllValues`, `ForAnyValue` or nothing
    base: str
    is_negated: bool
    is_lenient: bool  # `IfExists`: a request without the key will do
    key: str
    expected: tuple[str, ...]

    @classmethod
    def read(cls, operator: str, key: str, values: Iterable[Any]) -> "Condition":
        """From a policy."""
        parts = OPERATOR.fullmatch(operator)
        name = parts["base"] if parts else ""
        base = NEGATED.get(name, name)
        if not parts or base not in {*COMPARES, "Null"}:
            raise NotJudged(f"condition operator {operator}")
        each, lenient = parts["each"] or "", bool(parts["lenient"])
        if (each and lenient) or (base == "Null" and (each or lenient)):
            raise NotJudged(f"condition operator {operator}")
        check_keys([key])
        words = tuple(map(_word, values))
        return cls(each, base, name in NEGATED, lenient, key, words)

    def holds(self, context: Context) -> bool:
        """Whether the request meets it."""
        values = found(self.key, context)
        if len(values) > 1:
            return False  # a condition on a tag matches one of two keys that differ in case alone, "but not both"
        if self.base == "Null":
            (expected,) = self.expected
            return _truth(expected) == (not any(values))
        if self.each:
            together = all if self.each == "ForAllValues" else any
            return together(self._meets(each, context) for each in _several(values))
        if not values:
            return self.is_negated or self.is_lenient
        if not isinstance(values[0], str):
            raise NotJudged(
                f"{self.base} of {self.key} with {values[0]}, several values,"
            )
        return self._meets(values[0], context)

    def _meets(self, actual: str, context: Context) -> bool:
        compare = COMPARES[self.base]
        is_met = any(compare(each, actual, context) for each in self.expected)
        return is_met != self.is_negated


def _several(values: Sequence[str | Sequence[str]]) -> Sequence[str]:
    """Of a key that has one value, that one."""
    value = values[0] if values else ()
    return (value,) if isinstance(value, str) else value


def _word(value: Any) -> str:
    """JSON's `true` is IAM's "true"."""
    return str(value).lower() if isinstance(value, bool) else str(value)
