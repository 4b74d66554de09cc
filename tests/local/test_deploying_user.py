"""`docs/deploying-user.json` is enough for who deploys, updates and deletes, and nothing in it is too much."""

import copy
import json
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

import pytest

from local import deployment
from local.cloud import handlers
from local.cloud.policies import Request, allows
from tests.local.stack_life import POLICY, Life
from tests.template import translate

MANAGED_POLICY_LIMIT = 6144
"""Characters without blanks that IAM takes."""


@pytest.fixture
def asked(life: Life) -> list[Request]:
    """What IAM was asked about a role with this policy and no other, while it deployed, updated and deleted."""
    return life.asked


@pytest.mark.fault("F181")
def test_the_real_sam_deploys_and_deletes_with_it(asked: list[Request]) -> None:
    """SAM's own calls and those of CloudFormation in its name were judged, and each was allowed."""
    services = {request.action.partition(":")[0] for request in asked}
    assert services == {
        "cloudformation", "events", "iam", "lambda", "logs", "s3", "sqs", "ssm",
    }  # fmt: skip
    assert [request for request in asked if not allows([POLICY], request)] == []


def without() -> Iterator[Any]:
    """The policy without each of its statements."""
    for statement in POLICY["Statement"]:
        shorter = copy.deepcopy(POLICY)
        shorter["Statement"].remove(statement)
        yield pytest.param(shorter, id=statement["Sid"])


@pytest.mark.fault("F181")
@pytest.mark.parametrize("shorter", list(without()))
def test_each_statement_is_needed(
    shorter: Mapping[str, Any], asked: list[Request]
) -> None:
    """Without it something is refused that the deploy or the delete has asked for."""
    assert [request for request in asked if not allows([shorter], request)]


@pytest.mark.fault("F181")
def test_each_action_is_called(asked: list[Request]) -> None:
    """By SAM, or by what CloudFormation does to a type that the template has."""
    called = {request.action for request in asked} | of_template()
    listed = {action for each in POLICY["Statement"] for action in each["Action"]}
    assert [
        pattern
        for pattern in sorted(listed)
        if not any(fnmatchcase(action, pattern) for action in called)
    ] == []


@pytest.mark.fault("F181")
def test_each_resource_of_the_template_can_be_made_changed_and_deleted() -> None:
    """Of every type, whatever the handlers of its schema call; a new type has to be thought of here."""
    listed = {action for each in POLICY["Statement"] for action in each["Action"]}
    assert [
        action
        for action in sorted(of_template())
        if not any(fnmatchcase(action, pattern) for pattern in listed)
    ] == []


def of_template() -> set[str]:
    """What CloudFormation may call for this template."""
    resources = translate.translate(translate.source())["Resources"].values()
    return {
        action
        for type_name in {each["Type"] for each in resources}
        for operation in ("create", "update", "delete")
        for action in handlers.actions(type_name, operation)
    }


def test_iam_takes_it_as_one_managed_policy() -> None:
    """Which is shorter than what an inline policy of a role may be."""
    assert len("".join(json.dumps(POLICY).split())) <= MANAGED_POLICY_LIMIT


def test_nothing_outside_is_reached() -> None:
    """But proxies' roles, for this one policy, and what AWS gives no name before it is there."""
    name = deployment.settings()["stack_name"].removesuffix("staging")
    wide = {
        each["Sid"]
        for each in POLICY["Statement"]
        for resource in each["Resource"]
        if name not in resource and "aws-sam-cli-managed-default" not in resource
    }
    assert wide == {
        "EventsToFunction", "FindLog", "PolicyToProxies", "QueueOfFunction", "Transforms",
    }  # fmt: skip
