"""The lines of user data in docs/deploying.md, run as they stand there, with the real AWS CLI on a proxy of the lab."""

import re
import subprocess
from collections.abc import Iterator
from http import HTTPStatus

import pytest

from haproxy_sync.state.store import last_good_key
from local.cloud import REGION
from local.deployment import AWS
from local.lab import Style
from local.lab.network import ENVIRONMENT
from local.system import INSTANCE_PROFILE, LocalSystem, Proxy
from tests.documents import DOCUMENTS
from tests.end_to_end.conftest import come_to_rest

SECONDS = 120
CLI_CONFIG = "[default]\ns3 =\n  addressing_style = path\n"
"""The loopback AWS has no name for each bucket."""


def user_data(system: LocalSystem, bucket: str = "") -> str:
    """The document's lines, filled in."""
    section = DOCUMENTS["deploying.md"].partition("\n## A proxy at boot\n")[2]
    (lines,) = re.findall(
        r"```bash\n(.*?)```", section.partition("\n## ")[0], re.DOTALL
    )
    values = {
        "<bucket>": bucket or system.stack.outputs["BucketName"],
        "<environment>": system.environment,
        "<region>": REGION,
    }
    assert set(re.findall(r"<[a-z]+>", lines)) == values.keys()
    return re.sub(r"<[a-z]+>", lambda found: values[found[0]], str(lines))


def boot(system: LocalSystem, proxy: Proxy, script: str) -> str:
    """What they print, run by root there; but that they reach AWS on loopback, which has no place in the network."""
    role = system.stack.client("iam").get_role(RoleName=INSTANCE_PROFILE)["Role"]
    keys = system.stack.client("sts").assume_role(
        RoleArn=role["Arn"], RoleSessionName=proxy.instance_id
    )["Credentials"]
    proxy.host.write("/run/aws.config", CLI_CONFIG)
    proxy.host.write("/run/user-data", script)
    environment = {
        **ENVIRONMENT,
        "PATH": f"{AWS.parent}:{ENVIRONMENT['PATH']}",
        "AWS_CONFIG_FILE": "/run/aws.config",
        "AWS_ENDPOINT_URL": system.stack.endpoint,
        "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
        "AWS_SESSION_TOKEN": keys["SessionToken"],
    }
    enter = [part for part in proxy.host.enter if part != "--net"]
    done = subprocess.run(
        [*enter, "/bin/bash", "/run/user-data"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.fixture
def newcomer(system: LocalSystem) -> Iterator[Proxy]:
    """A proxy that has booted with its image's config, and no agent; the stack has its last good config."""
    key, bucket = last_good_key(system.environment), system.stack.outputs["BucketName"]
    served = {
        proxy.host.read("/etc/haproxy/haproxy.cfg") for proxy in system.proxies.values()
    }

    def is_there() -> bool:
        listed = system.stack.s3.list_objects_v2(Bucket=bucket, Prefix=key)
        if not listed.get("Contents"):
            return False
        body = system.stack.s3.get_object(Bucket=bucket, Key=key)["Body"]
        return body.read().decode() in served

    system.wait_until("the last good config", is_there)
    proxy = system.launch_proxy(Style.MASTER_WORKER, has_agent=False)
    yield proxy
    system.terminate(proxy.instance_id)
    come_to_rest(system)


@pytest.mark.fault("F268")
def test_a_proxy_serves_before_its_agent_registers(
    system: LocalSystem, newcomer: Proxy
) -> None:
    """With the last good config; then its first command finds nothing to do."""
    packaged = newcomer.host.read("/etc/haproxy/haproxy.cfg")
    said = boot(system, newcomer, user_data(system))
    config = newcomer.host.read("/etc/haproxy/haproxy.cfg")
    assert config != packaged, said
    names = {backend.name for backend in system.backends.values()}
    system.wait_until(
        "clients reach the pool", lambda: system.reached(newcomer) == names
    )
    assert newcomer.instance_id not in system.online()
    worker = newcomer.host.worker
    system.start_agent(newcomer)
    system.wait_until(
        "its first command",
        lambda: system.status()["proxies"][newcomer.instance_id]["settled"],
    )
    proxy = system.status()["proxies"][newcomer.instance_id]
    assert (proxy["outcome"], proxy["reason"]) == ("unchanged", "same-digest")
    assert newcomer.host.worker == worker
    assert newcomer.host.read("/etc/haproxy/haproxy.cfg") == config


@pytest.mark.fault("F269")
def test_a_download_that_fails_leaves_the_packaged_config(
    system: LocalSystem, newcomer: Proxy
) -> None:
    """And whatever HAProxy refuses; nothing is left beside it."""
    packaged = newcomer.host.read("/etc/haproxy/haproxy.cfg")
    worker = newcomer.host.worker
    names = newcomer.host.run(["ls", "-A", "/etc/haproxy"]).stdout
    script = user_data(system)
    assert (
        "error" in boot(system, newcomer, user_data(system, "nobodys-bucket")).lower()
    )
    newcomer.host.write("/run/haproxy-no", "#!/bin/sh\nexit 1\n", mode=0o755)
    refused = f'haproxy() {{ /run/haproxy-no "$@"; }}\n{script}'
    boot(system, newcomer, refused)
    assert newcomer.host.read("/etc/haproxy/haproxy.cfg") == packaged
    assert newcomer.host.run(["ls", "-A", "/etc/haproxy"]).stdout == names
    assert newcomer.host.worker == worker
    answer = system.client.get(newcomer.address, "/")
    assert answer.status == HTTPStatus.SERVICE_UNAVAILABLE
