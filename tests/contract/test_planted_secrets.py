"""A secret in a template is in the config that hosts get, and nowhere else."""

import json

import pytest

from haproxy_sync.state.codec import jsonable
from tests.contract.world import World

TEMPLATE = "templates/staging/haproxy.cfg.j2"
CONFIG = """userlist admins
    user ops insecure-password {{{{ password }}}}
frontend web
    bind :80
    stats auth admin:{1}
    http-request set-header Authorization "Basic {1}"
    default_backend app
backend app
{{% for host in groups['tomcat'] %}}
    server {{{{ host }}}} {{{{ hostvars[host].ansible_host }}}}:8080 weight {0}
{{% endfor %}}
"""
PLANTED = "s3cr3t-"


def upload(world: World, weight: int, number: int) -> None:
    """Templates and variables with their own secrets."""
    config = CONFIG.format(weight, f"{PLANTED}{number}")
    world.clients.s3.put_object(Bucket="bucket", Key=TEMPLATE, Body=config)
    variables = f"password: {PLANTED}in-variables-{number}\n"
    world.clients.s3.put_object(Bucket="bucket", Key="vars/staging.yml", Body=variables)


@pytest.mark.fault("F151")
def test_a_secret_is_in_no_answer_no_log_and_no_state(
    running: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor is the next one, though everybody sees that there is another."""
    said = []
    for number in (1, 2):
        upload(running, number, number)
        running.pass_time(60)
        said.append(running.act("plan"))
        running.sweep()
        running.settle()
        said.append(running.act("diff", generation=running.state.generation))
        said += [running.act(action) for action in ("status", "sync", "verify")]
    assert running.state.generation == 3
    assert "(changed)" in json.dumps(running.act("status")["history"][0]["diff"])
    proxy = next(iter(running.proxies))
    assert running.served(proxy).count(PLANTED) == 3
    answered, stored = json.dumps(said), json.dumps(jsonable(running.state))
    logged = [json.dumps(vars(each), default=str) for each in caplog.records]
    assert len(logged) > 5
    for text in (answered, stored, *logged):
        assert PLANTED not in text
        assert PLANTED.removesuffix("-") not in text


@pytest.mark.fault("F151")
def test_a_template_that_fails_beside_a_secret_does_not_say_it(running: World) -> None:
    """The error names file, line and reason."""
    upload(running, 1, 1)
    broken = CONFIG.format(1, PLANTED) + "{{ nobody.defined | int }}\n"
    running.clients.s3.put_object(Bucket="bucket", Key=TEMPLATE, Body=broken)
    running.pass_time(60)
    running.sweep()
    for action in ("status", "plan"):
        answer = running.act(action)
        assert "haproxy.cfg.j2:" in answer["template_error"]
        assert PLANTED not in json.dumps(answer)
