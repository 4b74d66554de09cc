"""One whole system for all tests of this folder: deployed stack, two proxies, a pool that each test finds settled."""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # ships no types

from local.lab import Style
from local.system import LocalSystem, Proxy
from tests import command_line_reference

PARAMETERS = {"DriftCheckMinutes": "0.25", "HoldMinutes": "0.5"}
HERE = Path(__file__).parent
POOL = (2, 3)
"""A test may rely on two backends and finds no more than three."""


GROUPS = {
    "test_sudo_user.py": "newcomer",
    "test_demo.py": "demo",
    "test_migration.py": "migration",
    "test_new_stack.py": "fourth system",
    "test_command_line.py": "third system",
    "test_doctor.py": "third system",
    "test_operator_commands.py": "second system",
    "test_pool.py": "second system",
    "test_samples.py": "second system",
}
"""Who has a system of their own; the modules that are not named share one."""

ORDER = tuple(dict.fromkeys((*GROUPS.values(), "first system")))
"""The longest first, and those that make a system beside `takeover` before it: a process has one folder for them."""


def group(nodeid: str) -> str:
    """That of a test."""
    module = nodeid.partition("::")[0].rpartition("/")[2]
    return GROUPS.get(module, "first system")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of this folder into the order of their groups."""
    own = [item for item in items if item.path.parent == HERE]
    own.sort(key=lambda item: ORDER.index(group(item.nodeid)))
    items[:] = [*(item for item in items if item.path.parent != HERE), *own]


class Groups(LoadScopeScheduling):  # type: ignore[misc]  # as above
    """The tests of a group run in one worker, so that they share its system."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups:
    """Pytest-xdist's own marks for groups do nothing with this pytest; it would begin with those of most tests."""
    config.option.loadscopereorder = False
    return Groups(config, log)


@dataclass(frozen=True)
class Takeover:
    """A fleet that was there before the stack, seen first and after the stack had looked, and the plan for it."""

    system: LocalSystem
    backends: set[str]
    found: dict[str, tuple[str, int]]
    """Config and HAProxy process of each proxy, before the stack knew them."""
    left: dict[str, tuple[str, int]]
    """The same, when all was there that a rollout needs but the word of somebody."""
    plan: dict[str, Any]


@pytest.fixture(scope="session")
def takeover() -> Iterator[Takeover]:
    """The system with SysV and master-worker HAProxy, each in a zone of its own; nobody has ended its first freeze."""
    if os.geteuid() != 0:
        pytest.fail(
            "tests/end_to_end make network namespaces and run HAProxy: run them as root"
        )
    with LocalSystem(PARAMETERS) as system:
        for _ in range(POOL[0]):
            system.launch_backend()
        system.launch_proxy(Style.SYSV)
        system.launch_proxy(Style.MASTER_WORKER, "ap-southeast-2b")
        found = running(system)
        system.wait_until("agents", lambda: system.online() == set(system.proxies))
        now = time.time()
        system.wait_until(
            "a look since then", lambda: (system.status()["looked_at"] or 0) > now
        )
        plan = system.invoke({"action": "plan"})
        yield Takeover(system, set(system.backends), found, running(system), plan)


@pytest.fixture(scope="session")
def deployed(takeover: Takeover) -> LocalSystem:
    """The system after somebody has looked."""
    takeover.system.invoke({"action": "unfreeze"})
    return takeover.system


def running(system: LocalSystem) -> dict[str, tuple[str, int]]:
    """Each proxy's live file and the process that serves."""
    return {
        proxy.instance_id: (config(proxy), proxy.host.worker)
        for proxy in system.proxies.values()
    }


@pytest.fixture
def system(deployed: LocalSystem) -> Iterator[LocalSystem]:
    """The system at rest, serving a pool of two or three backends through both proxies."""
    fewest, most = POOL
    for instance_id in list(deployed.backends)[most:]:
        deployed.terminate(instance_id)
    while len(deployed.backends) < fewest:
        deployed.launch_backend()
    deployed.wait_until_serving(*deployed.backends.values())
    come_to_rest(deployed)
    yield deployed
    # Where machines follow EC2, one that a test left behind would come back.
    left = deployed.stack.instances("pending", "running").keys()
    assert left == deployed.members().keys()


def come_to_rest(system: LocalSystem) -> None:
    """Wait until nothing is left to be done; a look of now knows what events on their way will tell.

    Nor is a loss remembered that the guard would count with the next test's.
    """
    system.invoke({"action": "sync"})
    system.wait_until(
        "rest", lambda: is_at_rest(system) and not departed(system), seconds=300
    )


def is_at_rest(system: LocalSystem) -> bool:
    """Nothing is held, frozen or under way, and the pool is what was launched."""
    status = system.status()
    is_calm = status["converged"] and not (
        status["hold"] or status["freeze"] or status["rollout"]["commands"]
    )
    return (
        is_calm
        and set(status["backends"]) == set(system.backends)
        and set(status["proxies"]) == set(system.proxies)
    )


def departed(system: LocalSystem) -> set[str]:
    """Who vanished unannounced within HoldMinutes, by the state."""
    bucket, key = system.stack.outputs["BucketName"], f"state/{system.environment}.json"
    stored = system.stack.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return set(json.loads(stored)["turnover"]["departed"])


def workers(system: LocalSystem) -> dict[str, int]:
    """The HAProxy process that serves on each proxy; another one after each reload."""
    return {proxy.instance_id: proxy.host.worker for proxy in system.proxies.values()}


def credentials(system: LocalSystem, name: str, *sids: str) -> dict[str, str]:
    """Of a new role that has these statements of the policy in docs/command-line.md, or all."""
    whole = command_line_reference.policy()
    statements = [
        each for each in whole["Statement"] if not sids or each["Sid"] in sids
    ]
    iam = system.stack.client("iam")
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(whole))
    iam.put_role_policy(
        RoleName=name,
        PolicyName="operator",
        PolicyDocument=json.dumps(whole | {"Statement": statements}),
    )
    keys = system.stack.client("sts").assume_role(
        RoleArn=role["Role"]["Arn"], RoleSessionName="operator"
    )["Credentials"]
    return {
        "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
        "AWS_SESSION_TOKEN": keys["SessionToken"],
    }


def config(proxy: Proxy) -> str:
    """The live file."""
    return proxy.host.read("/etc/haproxy/haproxy.cfg")
