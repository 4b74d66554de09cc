"""A secret in a template or its variables is in the config that hosts get, and nowhere else."""

import json
from base64 import b64encode

import pytest

from tests.contract.world import World

TEMPLATE, VARIABLES = "templates/staging/haproxy.cfg.j2", "vars/staging.yml"
CONFIG = """userlist admins
    user ops insecure-password {{ password }}
frontend web
    bind :80
    stats auth admin:WRITTEN
    http-request set-header Authorization "Basic WRITTEN"
    http-request set-header X-Greeting {{ greeting }}
    http-request set-header X-Signature {{ vault_signature | b64encode }}
    default_backend app
backend app
{% for host in groups['tomcat'] %}
    server {{ host }} {{ hostvars[host].ansible_host }}:8080 weight WEIGHT cookie {{ greeting }}
{% endfor %}
"""
STATED = """password: {secret}-password
greeting: {secret}-greeting
vault_signature: {secret}-signature
secret_variables: [greeting]
"""
PLANTED = "s3cr3t"
IN_CONFIG = 5 + 3  # the greeting of each server


def secret(number: int) -> str:
    """One that no other number has."""
    return f"{PLANTED}-{number}"


def forms(number: int) -> tuple[str, ...]:
    """What nobody may find: what every secret begins with, and what the filter makes of one."""
    signature = b64encode(f"{secret(number)}-signature".encode()).decode()
    return PLANTED, signature, signature[:12]


def put(world: World, key: str, body: str) -> None:
    """An upload."""
    world.clients.s3.put_object(Bucket="bucket", Key=key, Body=body)


def upload(world: World, number: int, tail: str = "") -> None:
    """Templates and variables with their own secrets."""
    config = CONFIG.replace("WEIGHT", str(number)).replace("WRITTEN", secret(number))
    put(world, TEMPLATE, config + tail)
    put(world, VARIABLES, STATED.format(secret=secret(number)))


def objects(world: World) -> dict[str, str]:
    """All of the bucket but templates, variables, programs and the configs themselves."""
    listed = world.clients.s3.list_objects_v2(Bucket="bucket")["Contents"]
    keys = [
        item["Key"]
        for item in listed
        if not item["Key"].startswith(("templates/", "vars/", "program/"))
        and not item["Key"].endswith("/haproxy.cfg")
    ]
    bodies = [world.clients.s3.get_object(Bucket="bucket", Key=key) for key in keys]
    texts = [body["Body"].read().decode() for body in bodies]
    assert "state/staging.json" in keys
    return dict(zip(keys, texts, strict=True))


def logged(caplog: pytest.LogCaptureFixture) -> str:
    """Every line of the log with its fields, and with the exception it tells of."""
    fields = [json.dumps(vars(each), default=str) for each in caplog.records]
    assert len(fields) > 1
    return "\n".join((caplog.text, *fields))


@pytest.mark.fault("F151")
@pytest.mark.fault("F172")
def test_a_secret_is_in_no_answer_no_log_and_no_state(
    running: World,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nor is the next one, though everybody sees that there is another."""
    said: list[object] = []
    for number in (1, 2):
        upload(running, number)
        running.pass_time(60)
        said.append(running.act("plan"))
        running.sweep()
        running.settle()
        said.append(running.act("diff", generation=running.state.generation))
        said += [
            running.act(action)
            for action in ("status", "sync", "verify", "inspect", "freeze", "unfreeze")
        ]
    assert running.state.generation == 3
    assert running.served(next(iter(running.proxies))).count(PLANTED) == IN_CONFIG - 1
    rolled_back = running.act("rollback", generation=2)
    running.settle()
    said += [rolled_back, running.act("status")]
    metrics = capsys.readouterr().out
    assert "Namespace" in metrics
    assert "published" in caplog.text
    shown = json.dumps([said, objects(running)]) + metrics + logged(caplog)
    for number in (1, 2):
        assert not [form for form in forms(number) if form in shown]
    assert "(changed)" in json.dumps(said)


@pytest.mark.fault("F173")
def test_history_and_log_have_names_and_no_values(running: World) -> None:
    """Of a server what can hold no secret; of all else sections and keywords."""
    for number in (1, 2):
        upload(running, number)
        running.pass_time(60)
        running.sweep()
        running.settle()
    lines = running.act("status")["history"][0]["diff"]
    servers, others = lines[:3], lines[3:]
    assert all(" cookie, weight" in line for line in servers)
    assert others == [
        "~ frontend web: http-request +3 -3, stats +1 -1",
        "~ userlist admins: user +1 -1",
    ]


@pytest.mark.fault("F151")
@pytest.mark.fault("F172")
@pytest.mark.parametrize(
    ("tail", "variables"),
    [
        ("{{ nobody.defined | int }}\n", ""),
        ("{{ vault_signature | from_json }}\n", ""),
        ("{{ [][greeting] }}\n", ""),
        ("{% include greeting %}\n", ""),
        ("{{ greeting | community }}\n", ""),
        ("{{ undefined[greeting] }}\n", ""),
        (
            "{{ password | mandatory(greeting) }}{{ nothing | mandatory(greeting) }}\n",
            "",
        ),
        ("{{ told }}\n", 'told: "{{ {}[greeting] }}"\n'),
        ("{{ vault_open }}\n", f"vault_open: '{{{{ {PLANTED}.x | int }}}}'\n"),
        ("", f"password: *{PLANTED}\n"),
        ("", f"password: !{PLANTED} x\n"),
        ("", f"password: '{PLANTED}\n"),
        ("", f"? password {PLANTED}\n"),
        ("", f"password: {PLANTED}: x\n"),
        ("", "password: 2026-99-99\n"),
        ("", f"secret_variables: {PLANTED}\n"),
    ],
)
def test_a_template_that_fails_beside_a_secret_does_not_say_it(
    running: World, caplog: pytest.LogCaptureFixture, tail: str, variables: str
) -> None:
    """The error names file and line, and of the reason what no secret has a part in."""
    upload(running, 1, tail)
    stated = STATED.format(secret=secret(1)) + variables
    put(running, VARIABLES, stated if tail else variables)
    running.pass_time(60)
    running.sweep()
    answers: list[object] = [
        running.act(action) for action in ("status", "plan", "sync")
    ]
    shown = json.dumps([answers, objects(running)]) + logged(caplog)
    assert running.state.template_error.startswith((TEMPLATE[18:], VARIABLES))
    assert not [form for form in forms(1) if form in shown]


@pytest.mark.fault("F174")
def test_what_an_earlier_release_wrote_into_the_history_is_shown_no_more(
    running: World,
) -> None:
    """Its lines had values; nobody can tell which of them are secret."""
    key = {"Bucket": "bucket", "Key": "state/staging.json"}
    state = json.loads(running.clients.s3.get_object(**key)["Body"].read())
    for entry in state["history"]:
        entry["diff"] = [f"+    http-request set-header X-Greeting {PLANTED}"]
        del entry["lines"]
    running.clients.s3.put_object(**key, Body=json.dumps(state))
    assert PLANTED not in json.dumps(running.act("status"))
    running.act("verify")
    assert PLANTED not in objects(running)["state/staging.json"]
    assert running.act("status")["history"][0]["diff"] == []


@pytest.mark.fault("F175")
def test_a_variable_that_is_marked_later_is_hidden_from_then_on(running: World) -> None:
    """The config stays as it is, so nothing is published; its secret lines are known all the same, also to hosts."""
    upload(running, 1)
    put(running, VARIABLES, STATED.format(secret=secret(1)).replace("[greeting]", "[]"))
    running.pass_time(60)
    running.sweep()
    running.settle()
    published = running.state.generation
    assert PLANTED in json.dumps(running.act("diff", generation=published))
    put(running, VARIABLES, STATED.format(secret=secret(1)))
    running.pass_time(60)
    running.sweep()
    running.settle()
    assert running.state.generation == published
    for action in ("diff", "rollback"):
        assert PLANTED not in json.dumps(running.act(action, generation=published))
    (digest,) = running.state.assignment.digests
    assert digest.secret_lines.split(",") == ["2", "7-8", "11-13"]
