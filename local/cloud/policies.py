"""Judges IAM policy documents, by AWS's "Policy evaluation logic": what roles, queues and buckets allow.

Stands for IAM's evaluation of identity and resource policies (no boundaries, session policies, SCPs or endpoints'
policies). What it does not know, be it a version, an element, an operator or a key, is an error, never a silent answer.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from local.cloud.conditions import (
    ARN_PARTS,
    Condition,
    Context,
    NotJudged,
    arn_like,
    check_keys,
    like,
)
from local.cloud.principals import Caller, Meant

type Document = Mapping[str, Any]

VERSION = "2012-10-17"
OLD_VERSIONS = (None, "2008-10-17")
"""Where nothing or this is said, policy variables are plain text."""

DOCUMENT = frozenset({"Version", "Id", "Statement"})
ELEMENTS = frozenset(
    {"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"}
)  # fmt: skip
ACTION = re.compile(r"\*|[A-Za-z0-9-]+:[A-Za-z0-9*?]+")
OF_THEIR_OWN = ("kms:", "sts:")
"""Services whose resources' policies are judged otherwise: an identity's policy alone is never enough."""

ROOT_MAY = frozenset({"s3:getbucketpolicy", "s3:putbucketpolicy", "s3:deletebucketpolicy"})  # fmt: skip
"""What S3 lets the root of a bucket's account do whatever the bucket's policy denies, so that nobody is locked out."""


class Decision(Enum):
    """What IAM says."""

    ALLOWED = "allowed"
    DENIED = "explicitDeny"
    NOT_ALLOWED = "implicitDeny"


@dataclass(frozen=True, slots=True)
class Request:
    """One question to IAM: whether this action may be done to this resource, in this context."""

    action: str  # as IAM spells it: s3:GetObject
    resource: str  # an ARN, or * for actions without one
    context: Context = field(default_factory=dict)
    principal: str = ""  # only read by resource policies: an ARN, a service, or `principals.ANONYMOUS`


def allows(documents: Iterable[Document], request: Request) -> bool:
    """Whether some statement allows the request and none denies it."""
    caller = Caller.read(request.principal) if request.principal else None
    effects = {
        effect for effect, _ in _effects(documents, _of(request, caller), caller)
    }
    return effects == {"Allow"}


def decide(
    request: Request,
    owner: str,
    identity: Iterable[Document] = (),
    resource: Iterable[Document] = (),
) -> Decision:
    """What IAM says to the request's principal, by its own policies and by those of the resource of this account."""
    caller = Caller.read(request.principal)
    asked = _of(request, caller)
    by_identity = [effect for effect, _ in _effects(identity, asked, None)]
    by_resource = list(_effects(resource, asked, caller))
    if by_resource and request.action.startswith(OF_THEIR_OWN):
        raise NotJudged(f"the resource's policy for {request.action}")
    if "Deny" in {*by_identity, *(effect for effect, _ in by_resource)}:
        is_spared = caller.is_root and caller.account == owner
        if not (is_spared and request.action.lower() in ROOT_MAY):
            return Decision.DENIED
    meant = max((each for _, each in by_resource), default=Meant.NOT)
    is_allowed = _is_enough(caller, owner, meant, by_identity=bool(by_identity))
    return Decision.ALLOWED if is_allowed else Decision.NOT_ALLOWED


def _is_enough(caller: Caller, owner: str, meant: Meant, *, by_identity: bool) -> bool:
    """In one account either allows; of another account both must; services and the anonymous have no other policy."""
    is_by_identity = by_identity or caller.is_root  # whose account it is
    if not caller.account:
        return meant is Meant.ITSELF
    if caller.account == owner:
        return is_by_identity or meant is Meant.ITSELF
    return is_by_identity and meant is not Meant.NOT


def _of(request: Request, caller: Caller | None) -> Request:
    """The request with what it says about who asks."""
    known = caller.context if caller else {}
    return replace(request, context={**known, **request.context})


def _effects(
    documents: Iterable[Document], request: Request, caller: Caller | None
) -> Iterator[tuple[str, Meant]]:
    """Of each statement that is about the request, and how it means who asks."""
    check_keys(request.context)
    for document in documents:
        _check_version(document)
        for raw in listed(document["Statement"]):
            statement, meant = Statement.read(raw), _meant(raw, caller)
            if meant and statement.is_about(request):
                yield statement.effect, meant


def _check_version(document: Document) -> None:
    version = document.get("Version")
    is_plain = version in OLD_VERSIONS and "${" not in str(document)
    if (version != VERSION and not is_plain) or {*document} - DOCUMENT:
        raise NotJudged(f"a policy of {version} with {sorted(document)}")


def _meant(statement: Mapping[str, Any], caller: Caller | None) -> Meant:
    """An identity's own statement names nobody, each of a resource somebody."""
    is_of_resource = bool({"Principal", "NotPrincipal"} & {*statement})
    if is_of_resource != (caller is not None):
        who = "of a resource" if caller else "of an identity"
        raise NotJudged(f"a statement of {sorted(statement)} {who}")
    return caller.is_meant_by(statement) if caller else Meant.ITSELF


@dataclass(frozen=True, slots=True)
class Statement:
    """One of a document, once it is known that there is nothing in it that is not judged."""

    effect: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    is_but: tuple[bool, bool]
    """Whether it means all actions but these, and all resources but these."""
    conditions: tuple[Condition, ...]

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> "Statement":
        """From a policy."""
        pairs = [{"Action", "NotAction"}, {"Resource", "NotResource"}]
        is_whole = all(len(pair & {*raw}) == 1 for pair in pairs)
        if (
            set(raw) - ELEMENTS
            or not is_whole
            or {"Principal", "NotPrincipal"} <= {*raw}
        ):
            raise NotJudged(f"a statement of {sorted(raw)}")
        if raw["Effect"] not in {"Allow", "Deny"}:
            raise NotJudged(f"effect {raw['Effect']}")
        actions = listed(raw.get("Action", raw.get("NotAction")))
        resources = listed(raw.get("Resource", raw.get("NotResource")))
        wrong = [
            *(each for each in actions if not ACTION.fullmatch(each)),
            *(
                each
                for each in resources
                if each != "*" and each.count(":") < ARN_PARTS - 1
            ),
        ]
        if wrong:
            raise NotJudged(f"pattern {wrong[0]}")
        conditions = tuple(
            Condition.read(operator, key, listed(values))
            for operator, keys in raw.get("Condition", {}).items()
            for key, values in keys.items()
        )
        but = ("NotAction" in raw, "NotResource" in raw)
        return cls(raw["Effect"], tuple(actions), tuple(resources), but, conditions)

    def is_about(self, request: Request) -> bool:
        """Whether it covers action and resource, and all its conditions hold."""
        named = request.action.lower()
        is_action = any(like(each.lower(), named) for each in self.actions)
        is_resource = any(_is_resource(each, request) for each in self.resources)
        return (
            is_action != self.is_but[0]
            and is_resource != self.is_but[1]
            and all(each.holds(request.context) for each in self.conditions)
        )


def _is_resource(pattern: str, request: Request) -> bool:
    """Letter by letter; a wildcard stays within its part of the ARN, as in a condition."""
    return pattern == "*" or arn_like(pattern, request.resource, request.context)


def listed(value: Any) -> list[Any]:
    """One or many, as many."""
    return value if isinstance(value, list) else [value]
