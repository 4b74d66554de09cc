"""Stands for what SQS checks of a queue's policy when it is set: moto takes any JSON.

The quotas are those of the developer guide ("Amazon SQS policy quotas"). A condition is one key of one operator,
however many values it has.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from moto.sqs.exceptions import InvalidAttributeValue
from moto.sqs.models import Queue

from local.cloud.policies import listed

BYTES, STATEMENTS, CONDITIONS, PRINCIPALS = 8192, 20, 10, 50  # in a policy
ACTIONS, RESOURCES = 7, 1  # in a statement


def install() -> None:
    """Let this process's moto refuse what SQS refuses, with CreateQueue and with SetQueueAttributes."""
    plain = Queue._set_attributes

    def set_attributes(
        self: Queue, attributes: dict[str, Any], now: float | None = None
    ) -> None:
        policy = attributes.get("Policy")
        if policy and any(complaints(policy)):
            raise InvalidAttributeValue("Policy")
        plain(self, attributes, now)

    Queue._set_attributes = set_attributes  # type: ignore[method-assign]


def complaints(policy: str) -> Iterator[str]:
    """Why SQS refuses the policy; SQS itself never says."""
    try:
        document = json.loads(policy)
        statements = listed(document["Statement"])
        yield from _too_many("bytes", len(policy.encode()), BYTES)
        yield from _too_many("statements", len(statements), STATEMENTS)
        yield from _too_many(
            "conditions", sum(map(_conditions, statements)), CONDITIONS
        )
        yield from _too_many(
            "principals", sum(map(_principals, statements)), PRINCIPALS
        )
        for statement in statements:
            for element, most in (("Action", ACTIONS), ("Resource", RESOURCES)):
                name = f"values of {element} in statement {statement.get('Sid')}"
                yield from _too_many(
                    name, len(listed(statement.get(element, []))), most
                )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        yield f"no policy document: {type(error).__name__}: {error}"


def _too_many(name: str, number: int, most: int) -> Iterator[str]:
    if number > most:
        yield f"{number} {name}, {most} at most"


def _conditions(statement: Mapping[str, Any]) -> int:
    return sum(map(len, statement.get("Condition", {}).values()))


def _principals(statement: Mapping[str, Any]) -> int:
    principal = statement.get("Principal", [])
    return (
        sum(map(len, map(listed, principal.values())))
        if isinstance(principal, dict)
        else len(listed(principal))
    )
