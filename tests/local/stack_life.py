"""The life of one stack, by the real `sam deploy` and `sam delete` of a role with `docs/deploying-user.json`.

Each step takes seconds, so several tests look at what was seen after it.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from local import deployment
from local.cloud.policies import Request
from tests.local.account import Account, opened

POLICY = json.loads(
    (Path(__file__).parents[2] / "docs/deploying-user.json").read_text()
)
PROXY_ROLES = ("first", "second", "third", "by-hand")
EMPTY = (
    '""'  # a parameter that is left out would keep its value: SAM sends the stack's own
)
DESCRIPTION = "Lets a HAProxy host download its config"


@dataclass(frozen=True)
class Seen:
    """The account after one step."""

    said: str
    """What SAM said last, if it failed."""
    status: str
    reasons: str
    """What the stack's events of this step say went wrong."""
    things: frozenset[str]
    attached: Mapping[str, list[str]]
    """The policies that hang on each proxy's role."""
    outputs: Mapping[str, str]

    @property
    def arn(self) -> str:
        """Of the stack's managed policy."""
        return self.outputs["ProxyPolicyArn"]


@dataclass(frozen=True)
class Life:
    """What was seen, in this order, and what IAM was asked about whoever deployed and deleted."""

    empty: Seen
    refused: Seen
    failed: Seen
    """The first deploy, which names a role that is not there."""
    withdrawn: Seen
    """Deleted after that."""
    made: Seen
    """By an earlier release, whose policy had another description; for the first and the second role."""
    undone: Seen
    """An update that names a role that is not there."""
    updated: Seen
    """To this release, and for no role."""
    moved: Seen
    """To the second and the third role."""
    kept: Seen
    """Deleted while somebody has attached the policy."""
    deleted: Seen
    """Once they have detached it."""
    asked: list[Request] = field(default_factory=list)


def lived(folder: Path) -> Life:
    """Deploy, change and delete in an account of its own."""
    with opened(folder) as owned:
        life = _lived(owned)
    lines = (folder / "judged.jsonl").read_text().splitlines()
    asked = [
        Request(action, resource, context)
        for role, action, resource, context in map(json.loads, lines)
        if role.endswith("role/deployer")
    ]
    return replace(life, asked=asked)


def _lived(owned: Account) -> Life:
    for role in PROXY_ROLES:
        owned.make_role(role)
    account, iam = owned.used_by("deployer", POLICY), owned.client("iam")
    step = _Steps(account)
    empty = step(lambda: None)
    both = {"TypeTagKey": "Environment", "BackendTagValue": "haproxy"}
    refused = step(lambda: account.deploy(**both))
    failed = step(lambda: account.deploy(ProxyRoles="first,mistyped"))
    withdrawn = step(account.delete)
    earlier = _of_an_earlier_release(account)
    made = step(lambda: earlier.deploy(ProxyRoles="first,second"))
    iam.attach_role_policy(RoleName="by-hand", PolicyArn=made.arn)
    undone = step(lambda: account.deploy(ProxyRoles="second,mistyped"))
    updated = step(lambda: account.deploy(ProxyRoles=EMPTY))
    iam.detach_role_policy(RoleName="by-hand", PolicyArn=made.arn)
    iam.delete_policy(PolicyArn=made.arn)
    moved = step(lambda: account.deploy(ProxyRoles="second,third"))
    iam.attach_role_policy(RoleName="by-hand", PolicyArn=moved.arn)
    kept = step(account.delete)
    iam.detach_role_policy(RoleName="by-hand", PolicyArn=moved.arn)
    deleted = step(account.delete)
    return Life(
        empty, refused, failed, withdrawn, made, undone, updated, moved, kept, deleted
    )


def _of_an_earlier_release(account: Account) -> Account:
    """With another description of the policy: a change of that makes another policy."""
    text = account.template.read_text()
    assert text.count(DESCRIPTION) == 1
    template = account.template.with_name("earlier.yaml")
    template.write_text(text.replace(DESCRIPTION, f"{DESCRIPTION} of staging"))
    return replace(account, template=template)


class _Steps:
    """Does one thing, and says what there is then."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._told: set[str] = set()
        self._documents: set[str] = set()

    def __call__(self, do: Callable[[], Any]) -> Seen:
        said, account = "", self._account
        try:
            do()
        except deployment.SamFailed as failed:
            said = str(failed)
        troubles = account.troubles()
        new = [text for event, text in troubles.items() if event not in self._told]
        self._told |= {*troubles}
        outputs = account.outputs()
        self._documents |= {outputs["DocumentName"]} if outputs else set()
        things = {each for each in account.things() if "samcli" not in each}
        return Seen(
            said,
            account.status(),
            "\n".join(new),
            frozenset(things | {*filter(account.has_document, self._documents)}),
            {role: account.attached(role) for role in PROXY_ROLES},
            outputs,
        )
