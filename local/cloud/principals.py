"""Who asks, and whom a resource's policy means, by AWS's "Principal" and "NotPrincipal" elements.

A role's ARN stands for each of its sessions, `aws:PrincipalArn` of which is that ARN.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from local.cloud.conditions import NotJudged

ANONYMOUS = "anonymous"
"""A request without a signature."""

SERVICE = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.amazonaws\.com(\.cn)?")
ARN = re.compile(
    r"(?P<partition>arn:aws[a-z-]*):(?P<service>iam|sts)::(?P<account>\d{12}):"
    r"(?P<kind>root|user|role|assumed-role|federated-user)(?:/(?P<name>[^*?]+))?"
)
TYPES = {
    "root": "Account",
    "user": "User",
    "role": "AssumedRole",
    "federated-user": "FederatedUser",
}


class Meant(IntEnum):
    """How a policy means somebody. Whom it means by the account alone, the account's own policies must allow, too."""

    NOT = 0
    BY_ACCOUNT = 1
    ITSELF = 2


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who asks: by which names a policy can mean it, and what its requests say about it."""

    names: frozenset[str]
    account: str = ""
    """Empty for services and the anonymous."""
    is_root: bool = False
    context: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str) -> "Caller":
        """From an ARN, the name of a service, or `ANONYMOUS`."""
        if text == ANONYMOUS:
            return cls(frozenset(), context={"aws:PrincipalType": "Anonymous"})
        if SERVICE.fullmatch(text):
            known = {
                "aws:PrincipalServiceName": text,
                "aws:PrincipalIsAWSService": "true",
            }
            return cls(frozenset({text}), context=known)
        arn = ARN.fullmatch(text)
        if not arn:
            raise NotJudged(f"principal {text}")
        return cls._of_account(text, arn)

    @classmethod
    def _of_account(cls, text: str, arn: re.Match[str]) -> "Caller":
        names, shown, kind = {text}, text, arn["kind"]
        if kind == "assumed-role":
            role = arn["name"].partition("/")[0]
            shown = f"{arn['partition']}:iam::{arn['account']}:role/{role}"
            names, kind = {text, shown}, "role"
        known = {
            "aws:PrincipalArn": shown,
            "aws:PrincipalAccount": arn["account"],
            "aws:PrincipalType": TYPES[kind],
            "aws:PrincipalIsAWSService": "false",
        }
        return cls(frozenset(names), arn["account"], kind == "root", known)

    def is_meant_by(self, statement: Mapping[str, Any]) -> Meant:
        """By a statement of a resource's policy."""
        if "NotPrincipal" in statement:
            return self._is_left(statement)
        return max(
            (self._is(name) for name in _named(statement["Principal"])),
            default=Meant.NOT,
        )

    def _is_left(self, statement: Mapping[str, Any]) -> Meant:
        """Out is whose every name, the account's included, the statement has; with Allow it would let in the world."""
        if statement["Effect"] != "Deny":
            raise NotJudged("NotPrincipal with Allow")
        listed = {
            _account_of(name) or name for name in _named(statement["NotPrincipal"])
        }
        every = self.names | ({self.account} if self.account else set())
        is_out = bool(every) and {_account_of(name) or name for name in every} <= listed
        return Meant.NOT if is_out else Meant.ITSELF

    def _is(self, name: str) -> Meant:
        if name == "*" or name in self.names:
            return Meant.ITSELF
        is_own = self.account and _account_of(name) == self.account
        return Meant.BY_ACCOUNT if is_own else Meant.NOT


def _account_of(name: str) -> str:
    """Of an account's number, or of its root's ARN, which means the same; empty for anybody else."""
    arn = ARN.fullmatch(name)
    number = arn["account"] if arn and arn["kind"] == "root" else name
    return number if re.fullmatch(r"\d{12}", number) else ""


def _named(principal: Any) -> list[str]:
    """Every name of the element. IAM takes `*` for everybody, and no other wildcard."""
    if principal == "*":
        return ["*"]
    if not isinstance(principal, dict) or set(principal) - {"AWS", "Service"}:
        raise NotJudged(f"principal {principal}")
    names = [
        name
        for value in principal.values()
        for name in (value if isinstance(value, list) else [value])
    ]
    for name in names:
        if not (
            name == "*"
            or SERVICE.fullmatch(name)
            or ARN.fullmatch(name)
            or _account_of(name)
        ):
            raise NotJudged(f"principal {name}")
    return names
