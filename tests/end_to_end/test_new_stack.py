"""A stack that is deployed again beside the bucket that the one before it left."""

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from local.deployment import AWS, PROJECT
from local.lab import Style
from local.system import INSTANCE_PROFILE, LocalSystem
from tests import readme
from tests.documents import DOCUMENTS, commands
from tests.end_to_end.conftest import PARAMETERS, come_to_rest, config, running
from tests.end_to_end.test_template import KEY, PLAYBOOK

VARIABLES = "vars/staging.yml"
MARK = "# {{ greeting }}\n"
RENDERED = "# from the variables of the first stack\n"
SECONDS = 120


@dataclass(frozen=True)
class Redeployed:
    """A fleet whose stack was deleted and deployed again, as it was before, and when the new one had looked."""

    system: LocalSystem
    old_bucket: str
    before: dict[str, tuple[str, int]]
    """Config and HAProxy process of each proxy, when the first stack was still there."""
    status: dict[str, Any]


def bucket(system: LocalSystem) -> str:
    """That of the stack that is deployed."""
    return str(system.stack.outputs["BucketName"])


def swap_policies(system: LocalSystem, action: str) -> None:
    """Attach the stack's managed policy to the proxies' role, or detach it."""
    change = getattr(system.stack.client("iam"), action)
    change(RoleName=INSTANCE_PROFILE, PolicyArn=system.stack.outputs["ProxyPolicyArn"])


def has_looked_since(system: LocalSystem, last: float) -> bool:
    """Whether a look was made after that one."""
    return (system.status()["looked_at"] or 0) > last


def looked_again(system: LocalSystem) -> None:
    """Two looks more, each of which could begin a rollout, and what every host says of itself."""
    for _ in range(2):
        last = system.status()["looked_at"] or 0
        system.wait_until("a look", partial(has_looked_since, system, last))
    system.wait_until(
        "the word of every host",
        lambda: all(each["heard_at"] for each in system.status()["proxies"].values()),
    )


@pytest.fixture(scope="module")
def redeployed() -> Iterator[Redeployed]:
    """Two proxies run an uploaded template by the first stack; the second has found them."""
    with LocalSystem(PARAMETERS) as system:
        backend = system.launch_backend()
        system.launch_proxy(Style.SYSV)
        system.launch_proxy(Style.MASTER_WORKER, "ap-southeast-2b")
        greeting = f"greeting: {RENDERED.removeprefix('# ')}"
        for key, text in ((KEY, MARK + PLAYBOOK), (VARIABLES, greeting)):
            system.stack.s3.put_object(
                Bucket=bucket(system), Key=key, Body=text.encode()
            )
        system.wait_until("agents", lambda: system.online() == set(system.proxies))
        system.invoke({"action": "unfreeze"})
        system.wait_until_serving(backend)
        come_to_rest(system)
        old_bucket, before = bucket(system), running(system)
        swap_policies(system, "detach_role_policy")
        system.stack.delete()
        system.stack.deploy({})
        swap_policies(system, "attach_role_policy")
        looked_again(system)
        yield Redeployed(system, old_bucket, before, system.status())


(COPYING,) = commands(DOCUMENTS["README.md"], "aws s3 cp --recursive")


def typed(system: LocalSystem, old_bucket: str) -> str:
    """The README's command with the names of the two buckets."""
    named = COPYING.replace("<old-bucket>", old_bucket)
    return named.replace("<bucket>", bucket(system))


def run(system: LocalSystem, command: str) -> subprocess.CompletedProcess[str]:
    """Type it, with the credentials of the account's owner and no other setting of AWS."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("AWS_")
    }
    owner = {
        "AWS_ENDPOINT_URL": system.stack.endpoint,
        "AWS_ACCESS_KEY_ID": "owner",
        "AWS_SECRET_ACCESS_KEY": "owner",
        "AWS_DEFAULT_REGION": re.split("[/:]", system.stack.outputs["FunctionArn"])[3],
        "PATH": f"{AWS.parent}:{os.environ['PATH']}",
    }
    return subprocess.run(
        ["bash", "-c", command],
        cwd=PROJECT,
        env=inherited | owner,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@pytest.mark.fault("F184")
def test_a_stack_deployed_again_takes_the_uploads_along(redeployed: Redeployed) -> None:
    """Status names the old bucket, the README's command copies, plan sees it, and no proxy changes before unfreeze."""
    system, old_bucket = redeployed.system, redeployed.old_bucket
    status, before = redeployed.status, redeployed.before
    assert bucket(system) != old_bucket
    assert all(text.startswith(RENDERED) for text, _ in before.values())

    assert status["template"]["origin"] == "bundled"
    assert status["earlier_uploads"] == [
        f"s3://{old_bucket}/templates/staging/",
        f"s3://{old_bucket}/vars/staging.yml",
    ]
    (condition,) = (
        each for each in status["conditions"] if each["cause"] == "uploads-elsewhere"
    )
    assert old_bucket in condition["what"]
    command = typed(system, old_bucket)
    assert condition["advice"] == command
    assert running(system) == before

    done = run(system, command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert readme.is_shown(COPYING, done.stdout), done.stdout
    joining = system.launch_backend()
    looked_again(system)
    plan = system.invoke({"action": "plan"})
    assert plan["template"]["origin"] == plan["variables"]["origin"] == "uploaded"
    assert plan["template_error"] == ""
    assert plan["earlier_uploads"] == []
    assert set(plan["servers"]["added"]) == set(system.backends)
    causes = {each["cause"] for each in system.status()["conditions"]}
    assert "uploads-elsewhere" not in causes
    assert running(system) == before

    system.invoke({"action": "unfreeze", "adopt": True})
    system.wait_until_serving(*system.backends.values())
    come_to_rest(system)
    for proxy in system.proxies.values():
        text = config(proxy)
        assert text.startswith(RENDERED)
        assert f"server {joining.name} {joining.name}:8080" in text
