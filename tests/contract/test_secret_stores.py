"""Variables that refer to SSM and Secrets Manager: what reaches a config, what looks ask for, what may go wrong."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import pytest

from tests.contract.faults import Fault, calls, failing
from tests.contract.test_planted_secrets import logged, objects, put
from tests.contract.world import World

TEMPLATE, VARIABLES = "templates/staging/haproxy.cfg.j2", "vars/staging.yml"
CONFIG = """frontend web
    bind :80
    http-request set-header X-Made {{ made }}
    default_backend app
backend app
{% for host in groups['tomcat'] %}
    server {{ host }} {{ hostvars[host].ansible_host }}:8080
{% endfor %}
"""
VALUE = "opensesame-{}"
ASKED = {"ssm.GetParameters", "secrets-manager.DescribeSecret"}
FETCHED = "secrets-manager.GetSecretValue"


@dataclass
class Kept:
    """What the account's SSM and Secrets Manager have."""

    world: World
    decrypted: list[bool] = field(default_factory=list)
    """Of each request for parameters whether it wanted them decrypted."""

    def parameter(self, name: str, value: str, kind: str = "SecureString") -> int:
        """Make one or change it; its version."""
        answer = self.world.clients.ssm.put_parameter(
            Name=name, Value=value, Type=kind, Overwrite=True
        )
        version: int = answer["Version"]
        return version

    @property
    def manager(self) -> Any:
        """The client of Secrets Manager."""
        return self.world.clients.secrets_manager()

    def secret(self, name: str, value: str | bytes | Mapping[str, Any]) -> str:
        """Make one; its ARN."""
        answer = self.manager.create_secret(Name=name, **_value(value))
        arn: str = answer["ARN"]
        return arn

    def rotate(self, name: str, value: str | Mapping[str, Any]) -> None:
        """The secret has another version."""
        self.manager.put_secret_value(SecretId=name, **_value(value))


def _value(value: str | bytes | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(value, bytes):
        return {"SecretBinary": value}
    return {"SecretString": value if isinstance(value, str) else json.dumps(value)}


@pytest.fixture
def kept(running: World) -> Iterator[Kept]:
    """The account of a fleet at work."""
    found = Kept(running)

    def note(params: Mapping[str, Any], **_: Any) -> None:
        found.decrypted.append(params["WithDecryption"])

    events = running.clients.ssm.meta.events
    events.register("provide-client-params.ssm.GetParameters", note)
    yield found
    events.unregister("provide-client-params.ssm.GetParameters", note)


def look(world: World) -> None:
    """The schedule's next one, and what follows it."""
    world.pass_time(60)
    assert world.sweep() == []
    world.settle()


def upload(world: World, made: str, stated: str) -> None:
    """A template with a line of what an expression makes of the variables; the next look has seen it."""
    put(world, TEMPLATE, CONFIG.replace("made }}", f"{made} }}}}"))
    put(world, VARIABLES, stated)
    look(world)


def headers(world: World) -> set[str]:
    """What the proxies' configs have in that line."""
    lines = [
        line
        for proxy in world.proxies
        for line in world.served(proxy).splitlines()
        if "X-Made" in line
    ]
    return {line.split("X-Made ")[1] for line in lines}


@contextmanager
def requests(world: World) -> Iterator[list[str]]:
    """Those to the two services, by operation."""
    found: list[str] = []
    with calls(world.clients) as made:
        yield found
    found += [each for each in made if each in {*ASKED, FETCHED}]


@pytest.mark.parametrize(
    ("stated", "made", "text"),
    [
        ("a: !ssm /haproxy/a", "a", "of-a"),
        ("a: !ssm plain", "a", "of-plain"),
        ("a: !ssm /haproxy/text", "a", "of-text"),
        ("a: !ssm /haproxy/a:1", "a", "before"),
        ("a: !ssm /haproxy/a:blue", "a", "before"),
        ("a: [!ssm /haproxy/a:1, !ssm /haproxy/a]", "a | join('/')", "before/of-a"),
        ("a: !secret whole", "a", "of-whole"),
        ("a: !secret json", "(a | from_json).user", "ops"),
        ("a: !secret json#user", "a", "ops"),
        ("a: !secret json#port", "a", "5432"),
        ("a: {b: [x, {c: !secret json#user}]}", "a.b[1].c", "ops"),
        ("a: !secret json#user\nb: '{{ a }}-{{ a | length }}'", "b", "ops-3"),
        ("group_vars: {haproxy: {a: !ssm plain}}", "a", "of-plain"),
        ("a: x\nhost_vars: {HOST: {a: !ssm plain}}", "hostvars['HOST'].a", "of-plain"),
        ("a: &a [!ssm plain]\nb: *a", "b[0] ~ a[0]", "of-plainof-plain"),
        ("a: !ssm braces", "a", "{{ nobody }}"),
    ],
)
def test_a_reference_is_its_value(
    kept: Kept, stated: str, made: str, text: str
) -> None:
    """Wherever a value may stand; of whatever kind it is, and never a template."""
    kept.parameter("/haproxy/a", "before")
    kept.world.clients.ssm.label_parameter_version(
        Name="/haproxy/a", ParameterVersion=1, Labels=["blue"]
    )
    kept.parameter("/haproxy/a", "of-a")
    kept.parameter("plain", "of-plain")
    kept.parameter("braces", "{{ nobody }}")
    kept.parameter("/haproxy/text", "of-text", "String")
    kept.secret("whole", "of-whole")
    kept.secret("json", {"user": "ops", "port": 5432})
    host = next(iter(kept.world.proxies))
    upload(kept.world, made.replace("HOST", host), stated.replace("HOST", host))
    assert headers(kept.world) == {text}


def test_a_secret_by_its_arn(kept: Kept) -> None:
    """As it is shared with others."""
    arn = kept.secret("db", {"password": VALUE})
    upload(kept.world, "a", f"a: !secret {arn}#password")
    assert headers(kept.world) == {VALUE}


@pytest.mark.fault("F290")
@pytest.mark.parametrize(
    ("stated", "rotate"),
    [
        ("a: !ssm /db", lambda kept, value: kept.parameter("/db", value)),
        ("a: !secret db#a", lambda kept, value: kept.rotate("db", {"a": value})),
        ("a: !secret text", lambda kept, value: kept.rotate("text", value)),
    ],
)
def test_a_rotation_is_published_by_the_next_look(
    kept: Kept, stated: str, rotate: Callable[[Kept, str], None]
) -> None:
    """Though no event tells of it; the history says that something changed, and not what."""
    kept.parameter("/db", "first")
    kept.secret("db", {"a": "first"})
    kept.secret("text", "first")
    upload(kept.world, "a", stated)
    published = kept.world.state.generation
    rotate(kept, "second")
    look(kept.world)
    assert headers(kept.world) == {"second"}
    assert kept.world.state.generation == published + 1
    status = kept.world.act("status")
    assert status["history"][0]["diff"] == ["~ frontend web: http-request +1 -1"]
    assert status["converged"]


@pytest.mark.fault("F290")
def test_a_parameter_that_is_made_again_is_another_one(kept: Kept) -> None:
    """Its versions begin with 1 once more."""
    assert kept.parameter("/db", "first") == 1
    upload(kept.world, "a", "a: !ssm /db")
    kept.world.clients.ssm.delete_parameter(Name="/db")
    assert kept.parameter("/db", "second") == 1
    look(kept.world)
    assert headers(kept.world) == {"second"}


def test_without_references_nobody_is_asked(kept: Kept) -> None:
    """Not in a look that renders, nor in one that does not."""
    with requests(kept.world) as made:
        upload(kept.world, "a", "a: x")
        look(kept.world)
    assert made == []
    assert headers(kept.world) == {"x"}


def test_a_look_asks_for_versions_alone(kept: Kept) -> None:
    """As long as they stay, in as few requests as SSM lets us; a change of the fleet needs no value once more."""
    names = [f"/many/{number}" for number in range(23)]
    for name in names:
        kept.parameter(name, f"of{name}")
    kept.secret("db", {"a": "x", "b": "y"})
    many = ", ".join(f"!ssm {name}" for name in names)
    upload(kept.world, "a | length", f"a: [{many}, !secret db#a, !secret db#b]")
    kept.world.pass_time(60)
    kept.decrypted.clear()
    with requests(kept.world) as made:
        kept.world.sweep()
    assert made == ["ssm.GetParameters"] * 3 + ["secrets-manager.DescribeSecret"]
    assert kept.decrypted == [False] * 3
    kept.world.launch()
    with requests(kept.world) as made:
        look(kept.world)
    assert set(made) == ASKED
    assert not any(kept.decrypted)


@pytest.mark.fault("F290")
def test_a_rotation_between_the_question_and_the_answer(kept: Kept) -> None:
    """What is published is of the version that came with it: nothing is fetched or published once more.

    Not by the same look either, which renders again without an instance whose tag the template cannot take.
    """
    kept.secret("db", "first")
    kept.world.launch(tags={"Note": "$1"})
    noted = "{{ hostvars[host].ec2_tag_Note | default('none') }}"
    put(kept.world, TEMPLATE, CONFIG.replace(":8080", f":8080 # {noted}"))
    look(kept.world)
    described = kept.manager.meta.events

    def rotate(**_: Any) -> None:
        described.unregister("after-call.secrets-manager.DescribeSecret", rotate)
        kept.rotate("db", "second")

    described.register("after-call.secrets-manager.DescribeSecret", rotate)
    put(kept.world, VARIABLES, "made: !secret db")
    with requests(kept.world) as made:
        look(kept.world)
    assert made.count(FETCHED) == 1
    assert headers(kept.world) == {"second"}
    published = kept.world.state.generation
    with requests(kept.world) as made:
        look(kept.world)
    assert FETCHED not in made
    assert kept.world.state.generation == published


DENIED = Fault(400, "AccessDeniedException", message="not authorized to perform this")
OLD_KEY = Fault(
    400,
    "AccessDeniedException",
    message="The ciphertext refers to a customer master key that does not exist",
)
NO_KEY = Fault(400, "AccessDeniedException", message="Access to KMS is not allowed")


@pytest.mark.fault("F291")
@pytest.mark.parametrize(
    ("reference", "operation", "fault", "reason"),
    [
        ("!ssm /none", "", None, "there is none of this name"),
        ("!ssm /db:7", "", None, "there is none of this name"),
        ("!ssm /db:blue", "", None, "there is none of this name"),
        ("!secret none", "", None, "there is none of this name"),
        ("!secret db#none", "", None, "has no such key"),
        ("!secret db#nested", "", None, "no text and no number"),
        ("!secret db#nothing", "", None, "no text and no number"),
        ("!secret db#empty", "", None, "it is empty"),
        ("!secret text#a", "", None, "no JSON object"),
        ("!secret list#a", "", None, "no JSON object"),
        ("!secret binary", "", None, "is binary"),
        ("!secret deleted", "", None, "the secret is deleted"),
        ("!secret unset", "", None, "has no value yet"),
        ("!ssm /db", "ssm.GetParameters", DENIED, "SecretArns"),
        ("!ssm /db", "ssm.GetParameters", OLD_KEY, "SecretKeys"),
        ("!secret db", "secrets-manager.DescribeSecret", DENIED, "SecretArns"),
        ("!secret db", FETCHED, DENIED, "SecretArns"),
        ("!secret db", FETCHED, NO_KEY, "SecretKeys"),
        ("!secret db", FETCHED, Fault(400, "DecryptionFailure"), "SecretKeys"),
    ],
)
def test_what_cannot_be_had_is_said(
    kept: Kept, reference: str, operation: str, fault: Fault | None, reason: str
) -> None:
    """With file, line and reference; every proxy keeps its config, and nobody sees what the secret has."""
    kept.parameter("/db", VALUE)
    kept.secret("db", {"a": VALUE, "nested": {}, "nothing": None, "empty": ""})
    kept.secret("text", VALUE)
    kept.secret("list", json.dumps([VALUE]))
    kept.secret("binary", VALUE.encode())
    kept.secret("deleted", VALUE)
    kept.manager.delete_secret(SecretId="deleted")
    kept.manager.create_secret(Name="unset")
    upload(kept.world, "a", "a: old")
    with failing(kept.world.clients, operation, fault or Fault()):
        upload(kept.world, "a", f"# as before\na: {reference}")
        status, plan = kept.world.act("status"), kept.world.act("plan")
    for answer in (status, plan):
        assert answer["template_error"].startswith(f"{VARIABLES}:2: {reference}: ")
        assert reason in answer["template_error"]
    assert VALUE not in json.dumps([status, plan])
    assert headers(kept.world) == {"old"}
    upload(kept.world, "a", "a: new")
    assert headers(kept.world) == {"new"}


@pytest.mark.fault("F291")
@pytest.mark.parametrize("reference", ["!ssm /db", "!secret db"])
def test_one_that_is_deleted_later_is_said(kept: Kept, reference: str) -> None:
    """Though its value is known yet: who deletes it means that. When it is back all is well."""
    kept.parameter("/db", "x")
    kept.secret("db", "x")
    upload(kept.world, "a", f"a: {reference}")
    kept.world.clients.ssm.delete_parameter(Name="/db")
    kept.manager.delete_secret(SecretId="db")
    look(kept.world)
    error = kept.world.act("status")["template_error"]
    assert error.startswith(f"{VARIABLES}:1: {reference}: ")
    assert headers(kept.world) == {"x"}
    kept.parameter("/db", "y")
    kept.manager.restore_secret(SecretId="db")
    look(kept.world)
    assert kept.world.act("status")["template_error"] == ""


@pytest.mark.fault("F291")
def test_the_one_that_is_denied_is_named(kept: Kept) -> None:
    """SSM refuses all that are asked for together where one of them is forbidden."""
    for name in ("/a", "/b", "/c"):
        kept.parameter(name, "x")
    events = kept.world.clients.ssm.meta.events

    def deny(model: Any, params: Mapping[str, Any], **_: Any) -> Any:
        del model
        if "/b" not in json.loads(params["body"])["Names"]:
            return None
        error = {"Code": "AccessDeniedException", "Message": "not authorized"}
        return SimpleResponse(400), {"Error": error}

    events.register("before-call.ssm.GetParameters", deny)
    try:
        upload(kept.world, "a", "a: !ssm /a\nb: !ssm /b\nc: !ssm /c")
    finally:
        events.unregister("before-call.ssm.GetParameters", deny)
    error = kept.world.act("status")["template_error"]
    assert error.startswith(f"{VARIABLES}:2: !ssm /b: the function may not read it")


@dataclass
class SimpleResponse:
    """As much of an HTTP response as botocore reads."""

    status_code: int


@pytest.mark.fault("F292")
@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ("ssm.GetParameters", "ThrottlingException"),
        ("ssm.GetParameters", "InternalServerError"),
        ("secrets-manager.DescribeSecret", "ThrottlingException"),
        (FETCHED, "InternalServiceError"),
    ],
)
def test_a_service_that_does_not_answer_is_a_failed_look(
    kept: Kept, operation: str, code: str
) -> None:
    """As where the bucket does not; with the first success all is well."""
    kept.parameter("/db", VALUE)
    kept.secret("db", "x")
    upload(kept.world, "a", "a: old")
    kept.world.pass_time(60)
    put(kept.world, VARIABLES, "a: !ssm /db\nb: !secret db")
    with failing(kept.world.clients, operation, Fault(400, code)):
        assert kept.world.sweep() != []
        status = kept.world.act("status")
    failure = status["look_failure"]
    assert (failure["operation"], failure["code"]) == (operation.split(".")[1], code)
    assert status["template_error"] == ""
    assert headers(kept.world) == {"old"}
    look(kept.world)
    assert headers(kept.world) == {VALUE}
    assert kept.world.act("status")["look_failure"] is None


FORMS = (
    "made",
    "made | b64encode",
    "made | to_json",
    "made | reverse",
    "made | hash('sha256')",
    "(made | from_json).a | upper",
)


@pytest.mark.fault("F293")
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ('{"a": "hunter-2-hunter"}', '{"a": "swordfish-3"}'),
        ('{"a": "hunter-2\\nhunter"}', '{"a": "sword\\nfish"}'),
        ('{"a": "http"}', '{"a": "tcp"}'),
    ],
    ids=["long", "lines", "words"],
)
def test_a_value_is_in_the_config_and_nowhere_else(
    kept: Kept,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    first: str,
    second: str,
) -> None:
    """Whatever its variable is called and whatever a template makes of it; nor is the one before it."""
    world = kept.world
    each = (f"    http-request set-header X-Made {{{{ {form} }}}}" for form in FORMS)
    template = CONFIG.replace(
        "    http-request set-header X-Made {{ made }}", "\n".join(each)
    )
    said: list[object] = []
    seen: list[set[str]] = []
    kept.secret("db", first)
    for value in (first, second):
        world.pass_time(60)
        kept.rotate("db", value)
        put(world, TEMPLATE, template)
        put(world, VARIABLES, "made: !secret db")
        said.append(world.act("plan"))
        look(world)
        said.append(world.act("diff", generation=world.state.generation))
        said += [world.act(action) for action in ("status", "sync", "check")]
        world.settle()
        seen.append({f"X-Made {made}" for made in headers(world)})
    assert world.state.generation == 3
    said += [world.act("rollback", generation=2), world.act("status")]
    shown = json.dumps([said, objects(world)]) + logged(caplog)
    shown += capsys.readouterr().out
    assert "Namespace" in shown
    assert list(map(len, seen)) == [len(FORMS), len(FORMS)]
    assert seen[0].isdisjoint(seen[1])
    for text in chain.from_iterable(seen):
        assert text not in shown
        assert json.dumps(text)[1:-1] not in shown
    assert "(changed)" in json.dumps(said)


@pytest.mark.fault("F293")
@pytest.mark.parametrize(
    "tail",
    [
        "{{ made | from_json }}",
        "{{ [][made] }}",
        "{% include made %}",
        "{{ nothing | mandatory(made) }}",
        "{{ undefined[made] }}",
    ],
)
def test_an_error_beside_a_value_does_not_say_it(
    kept: Kept, caplog: pytest.LogCaptureFixture, tail: str
) -> None:
    """It has file and line."""
    kept.parameter("/db", VALUE)
    put(kept.world, TEMPLATE, f"{CONFIG}{tail}\n")
    put(kept.world, VARIABLES, "made: !ssm /db")
    kept.world.pass_time(60)
    kept.world.sweep()
    answers = [kept.world.act(action) for action in ("status", "plan", "sync")]
    assert kept.world.state.template_error.startswith("haproxy.cfg.j2:9: ")
    shown = json.dumps([answers, objects(kept.world)]) + logged(caplog)
    assert VALUE not in shown


def test_the_process_forgets_what_nobody_refers_to(kept: Kept) -> None:
    """A reference that comes back is asked for again."""
    kept.parameter("/db", "x")
    upload(kept.world, "a", "a: !ssm /db")
    upload(kept.world, "a", "a: x")
    kept.decrypted.clear()
    upload(kept.world, "a", "a: !ssm /db")
    assert True in kept.decrypted
