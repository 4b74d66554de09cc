"""What comes out of the queue: storms, losses, rubbish, and looks at EC2 that fail."""

import json
from typing import Any

import pytest

from haproxy_sync import handler
from haproxy_sync.config import bounded
from haproxy_sync.config.bounded import Bounds
from haproxy_sync.errors import BadRequest, SettingsError
from haproxy_sync.fleet import inventory
from haproxy_sync.reconcile import events
from haproxy_sync.settings import Settings
from tests.contract.faults import Fault, apart_from_failure, calls, failing
from tests.contract.world import SWEEP, World, changed, event, record


def looks(caplog: pytest.LogCaptureFixture) -> int:
    """How often the whole environment was looked at."""
    return [record.message for record in caplog.records].count("look")


@pytest.mark.fault("F04")
def test_a_thousand_events_in_ten_seconds(
    running: World, caplog: pytest.LogCaptureFixture
) -> None:
    """The first is acted on at once; at most ten looks and two rollouts, the rest costs one read of the bucket each."""
    orders, reads_only, described = running.orders(), 0, 0
    running.launch()
    caplog.clear()
    for number in range(100):
        if number == 10:
            running.launch(number=3)
        storm = [changed(f"i-{number * 10 + each:017x}") for each in range(10)]
        with calls(running.clients) as made:
            assert running.deliver(*storm) == []
        described += made.count("ec2.DescribeInstances")
        reads_only += made == ["s3.GetObject"]
        if number == 0:
            assert looks(caplog) == 1
        running.pass_time(0.1)
    running.settle()
    assert looks(caplog) <= 10
    # EC2 does not know these ids, so each batch that wants a look asks first.
    assert described <= 2 * looks(caplog)
    assert reads_only > 80
    assert running.orders() - orders <= 2 * len(running.proxies)
    assert len(running.state.backends or ()) == 7
    assert running.act("status")["converged"]


@pytest.mark.fault("F03")
def test_when_every_event_is_lost_the_sweep_converges(
    running: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """Within one period for the config; the commands' results are found by the next ones."""
    new = running.launch()
    for second in range(180):
        running.clock.advance(1)
        running.service.tick()
        running.inbox.clear()
        running.delayed.clear()
        if second % 60 == 0:
            running.sweep()
    assert running.act("status")["converged"]
    assert new[0] in {backend.instance_id for backend in running.state.backends or ()}
    assert '"ChangesFoundBySweep":[1.0]' in capsys.readouterr().out


@pytest.mark.fault("F05")
def test_rubbish_is_acknowledged_and_the_rest_of_the_batch_works(
    running: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would never get better by being tried again."""
    running.launch()
    assert (
        running.deliver(
            "rubbish", changed(), {"detail-type": "x", "source": "y", "detail": {}}
        )
        == []
    )
    assert len(running.state.backends or ()) == 4
    assert '"BadEvents":[1.0, 1.0]' in capsys.readouterr().out.replace(
        "1.0,1.0", "1.0, 1.0"
    )


@pytest.mark.fault("F06")
def test_a_record_that_breaks_the_parser_comes_back_alone(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug of ours costs one message, until it is in the dead-letter queue."""
    real = events.parse_record

    def parse(raw: dict[str, Any], home: events.Home) -> events.Event:
        if "poison" in raw["body"]:
            raise ZeroDivisionError
        return real(raw, home)

    monkeypatch.setattr(events, "parse_record", parse)
    running.launch()
    assert running.deliver({"poison": 1}, changed()) == ["m-0"]
    assert len(running.state.backends or ()) == 4


@pytest.mark.fault("F14")
def test_an_event_of_another_account_does_nothing(running: World) -> None:
    """Not even a read of the bucket."""
    with calls(running.clients) as made:
        assert running.deliver(changed() | {"account": "999999999999"}) == []
    assert made == []


@pytest.mark.fault("F13")
def test_an_event_redriven_hours_later_reconciles_now(running: World) -> None:
    """What it says is long over; what is true now counts, and it costs no look that another one covers."""
    running.pass_time(7200)
    running.sweep()
    before = running.state.publication
    running.pass_time(3)
    with calls(running.clients) as made:
        assert (
            running.deliver(changed(state="terminated"), sent_at=running.now - 7000)
            == []
        )
    assert made == ["s3.GetObject"]
    assert running.state.publication == before


@pytest.mark.fault("F22")
def test_a_throttled_look_returns_the_message(running: World) -> None:
    """Three tries of the SDK; nothing is written but that it failed."""
    before = running.state
    with failing(
        running.clients, "ec2.DescribeInstances", Fault(503, "RequestLimitExceeded")
    ) as failed:
        assert running.sweep() == ["m-0"]
    assert len(failed) == 3
    assert apart_from_failure(running.state, before) == before


@pytest.mark.fault("F23")
def test_half_an_answer_is_none(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second page fails: what the first one said is thrown away."""
    monkeypatch.setattr(inventory, "PAGE_SIZE", 5)
    for _ in range(6):
        running.launch()
    before = running.state
    pages: list[str] = []

    with calls(running.clients) as made:
        inventory.look(running.clients, running.settings)
    assert made.count("ec2.DescribeInstances") > 1

    real = running.clients.ec2.describe_instances

    def second_fails(**request: Any) -> Any:
        pages.append(request.get("NextToken", ""))
        if "NextToken" in request:
            raise ConnectionError
        return real(**request)

    monkeypatch.setattr(running.clients.ec2, "describe_instances", second_fails)
    assert running.sweep() == ["m-0"]
    assert len(pages) == 2
    assert apart_from_failure(running.state, before) == before


def test_every_page_is_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rival that read the first page only is why this test is here."""
    monkeypatch.setattr(inventory, "PAGE_SIZE", 5)
    ids = sorted(instance_id for _ in range(12) for instance_id in world.launch())
    world.launch("haproxy", tags={"Environment": "production"})
    fleet = inventory.look(world.clients, world.settings)
    assert [backend.instance_id for backend in fleet.backends] == ids
    assert fleet.proxies == ()


@pytest.mark.fault("F24")
def test_an_instance_comes_in_when_its_tags_do(running: World) -> None:
    """Tags of an Auto Scaling group lag behind the state event."""
    bare = running.clients.ec2.run_instances(
        ImageId="ami-12345678", MinCount=1, MaxCount=1
    )
    instance_id = bare["Instances"][0]["InstanceId"]
    running.deliver(changed(instance_id))
    assert len(running.state.backends or ()) == 3
    running.pass_time(30)
    tags = [
        {"Key": "Environment", "Value": "staging"},
        {"Key": "Type", "Value": "tomcat"},
    ]
    running.clients.ec2.create_tags(Resources=[instance_id], Tags=tags)
    running.deliver(event("aws.tag", "Tag Change on Resource"))
    assert len(running.state.backends or ()) == 4


def test_an_event_that_ec2_does_not_show_yet_is_looked_at_again(running: World) -> None:
    """EC2 is eventually consistent; the second look comes by itself, long before the sweep."""
    running.deliver(changed())
    running.launch()
    running.pass_time(4)
    assert len(running.state.backends or ()) == 4


@pytest.mark.fault("F02")
def test_the_order_of_events_does_not_matter(running: World) -> None:
    """Terminated before running: only the look counts."""
    (new,) = running.launch()
    running.deliver(changed(new, "terminated"))
    running.pass_time(10)
    running.deliver(changed(new, "running"))
    assert new in {backend.instance_id for backend in running.state.backends or ()}


def test_a_bare_event_reconciles_too(running: World) -> None:
    """As `sam remote invoke` sends it."""
    running.launch()
    answer = running.handle(SWEEP)
    assert answer["published"]
    assert len(running.state.backends or ()) == 4
    foreign = running.handle(SWEEP | {"region": "us-east-1"})
    assert foreign["result"] == "ignored"


@pytest.mark.parametrize(
    "request_",
    [
        {},
        [],
        "sync",
        None,
        {"action": "explode"},
        {"action": ["sync"]},
        {"action": "sync", "force": 1},
    ],
)
def test_anything_else_is_told_what_there_is(running: World, request_: Any) -> None:
    """The error lists the actions or the options."""
    with pytest.raises(
        BadRequest, match=r"actions: sync, plan|options: allow_mass_removal"
    ):
        running.handle(request_)
    assert running.act("status")["converged"]


@pytest.mark.fault("F17")
def test_a_bad_environment_fails_every_invocation_with_one_message(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is read or sent."""
    monkeypatch.setattr(
        handler, "settings", lambda: Settings.from_env({"CANARY": "perhaps"})
    )
    with pytest.raises(SettingsError, match=r"ENVIRONMENT is missing.*CANARY="):
        world.invoke({"Records": [record("m", json.dumps(SWEEP), world.now)]})


@pytest.mark.fault("F39")
@pytest.mark.fault("F40")
def test_a_broken_template_keeps_the_old_config(running: World) -> None:
    """The message is done, the error is shown with file and line, and the next good upload heals it."""
    before = running.state.publication
    key = "templates/staging/haproxy.cfg.j2"
    for broken in ("{% for %}", "listen x\n bind :80\n {{ nobody_knows }}\n"):
        running.clients.s3.put_object(Bucket="bucket", Key=key, Body=broken.encode())
        running.pass_time(60)
        assert running.sweep() == []
        status = running.act("status")
        assert status["template_error"].startswith("haproxy.cfg.j2:")
        assert not status["converged"]
        assert running.state.publication == before
    running.clients.s3.delete_object(Bucket="bucket", Key=key)
    running.pass_time(60)
    running.sweep()
    assert running.act("status")["template_error"] == ""


@pytest.mark.fault("F41")
@pytest.mark.parametrize(
    ("endless", "reason"),
    [
        (
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
            "rendering takes more than 0.2 s of processor time",
        ),
        ("{{ 'a' * 10**9 }}", "rendering needs more than 32 MB of memory"),
    ],
)
def test_a_template_without_end_costs_one_publication_and_nothing_else(
    running: World, monkeypatch: pytest.MonkeyPatch, endless: str, reason: str
) -> None:
    """Nothing is stored, an operator reads why, and the next template is rendered as ever by the same process."""
    small = Bounds(cpu_seconds=0.2, memory_bytes=32 * 1024 * 1024)
    monkeypatch.setattr(bounded, "BOUNDS", small)
    s3, before = running.clients.s3, running.state
    key = {"Bucket": "bucket", "Key": "templates/staging/haproxy.cfg.j2"}
    s3.put_object(**key, Body=f"# one line\n{endless}\n".encode())
    objects = s3.list_objects_v2(Bucket="bucket")["KeyCount"]
    assert running.sweep() == []
    assert running.sweep() == []
    assert s3.list_objects_v2(Bucket="bucket")["KeyCount"] == objects
    assert running.state.generation == before.generation
    told = running.act("status")["template_error"]
    assert told.startswith(f"haproxy.cfg.j2:2: {reason}")
    s3.delete_object(**key)
    running.launch()
    running.sweep()
    running.settle()
    status = running.act("status")
    assert (status["template_error"], status["converged"]) == ("", True)
    assert running.state.generation == before.generation + 1
