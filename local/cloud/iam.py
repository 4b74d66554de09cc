"""Stands for IAM's simulator: SimulatePrincipalPolicy on a role, by the policies that it has; moto has none.

Checked: the role exists. Each action is judged on each resource, in the context that is given; a key that a condition
asks for and nobody gave is told as missing, for a resource that is named in the result of its own.
"""

from collections.abc import Iterable
from typing import Any

from moto.core.responses import ActionResult
from moto.iam.exceptions import NotFoundException
from moto.iam.responses import IamResponse

from local.cloud.access import policies_of
from local.cloud.policies import Request, allows, listed


def install() -> None:
    """Teach this process's moto."""
    IamResponse.simulate_principal_policy = _simulate  # type: ignore[attr-defined]


def _simulate(response: IamResponse) -> ActionResult:
    role_arn = response._get_param("PolicySourceArn")
    try:
        policies = policies_of(role_arn)
    except NotFoundException as error:
        raise NotFoundException(f"Entity {role_arn} does not exist.") from error
    context = dict(_context(response._get_param("ContextEntries", [])))
    missing = sorted(_conditions(policies) - {key.lower() for key in context})
    results = [
        {
            "EvalActionName": action,
            "EvalResourceName": resource,
            "EvalDecision": "allowed"
            if allows(policies, Request(action, resource, context))
            else "implicitDeny",
            "MatchedStatements": [],
            "MissingContextValues": missing if resource == "*" else [],
            "ResourceSpecificResults": _specific(resource, missing),
        }
        for action in response._get_param("ActionNames", [])
        for resource in response._get_param("ResourceArns", ["*"])
    ]
    return ActionResult({"EvaluationResults": results, "IsTruncated": False})


def _conditions(policies: Iterable[Any]) -> set[str]:
    """The context keys that conditions of these ask for."""
    return {
        key.lower()
        for policy in policies
        for statement in listed(policy["Statement"])
        for keys in statement.get("Condition", {}).values()
        for key in keys
    }


def _specific(resource: str, missing: list[str]) -> list[Any]:
    """Where IAM tells which context it would need, for a resource that is named."""
    named = {"EvalResourceName": resource, "EvalResourceDecision": "implicitDeny"}
    return [named | {"MissingContextValues": missing}] if resource != "*" else []


def _context(entries: Iterable[Any]) -> Iterable[tuple[str, str]]:
    """One value of each key: no condition of ours has more."""
    for entry in entries:
        (value,) = entry["ContextKeyValues"]
        yield entry["ContextKeyName"], value
