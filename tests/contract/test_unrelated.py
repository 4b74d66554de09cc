"""Events about anybody's instances: what is surely not ours costs one question to EC2 and leaves no trace."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.contract.faults import Fault, apart_from_failure, calls, failing
from tests.contract.world import ACCOUNT, REGION, SWEEP, World, changed, event

PRODUCTION = {"Environment": "production"}
KEY = "state/staging.json"
SAMPLES = Path(__file__).parents[2] / "events"
PREFIXES = ("autoscaling-", "rebalance-", "spot-")


@pytest.fixture
def busy(running: World) -> World:
    """A settled environment in an account where others live too; the bucket keeps versions, as ours does."""
    running.clients.s3.put_bucket_versioning(
        Bucket="bucket", VersioningConfiguration={"Status": "Enabled"}
    )
    return running


def traces(world: World) -> tuple[Any, ...]:
    """What anything that was done leaves behind: the state's versions, our own messages, commands."""
    versions = world.clients.s3.list_object_versions(Bucket="bucket")["Versions"]
    return (
        [(each["Key"], each["VersionId"], each["ETag"]) for each in versions],
        list(world.delayed),
        world.orders(),
    )


def tags_changed(
    world: World, claimed: dict[str, str], *instance_ids: str
) -> dict[str, Any]:
    """The event of a tag change that claims these tags."""
    detail = {
        "changed-tag-keys": ["Environment"],
        "service": "ec2",
        "resource-type": "instance",
        "tags": claimed,
    }
    arns = [
        f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{instance_id}"
        for instance_id in instance_ids
    ]
    assert world.settings.environment_tag_key == "Environment"
    return event("aws.tag", "Tag Change on Resource", detail, *arns)


def bare(world: World) -> str:
    """An instance without any tags."""
    made = world.clients.ec2.run_instances(
        ImageId="ami-12345678", MinCount=1, MaxCount=1
    )["Instances"]
    return str(made[0]["InstanceId"])


def ids(hosts: Iterable[Any] | None) -> set[str]:
    """Instance ids of hosts."""
    return {host.instance_id for host in hosts or ()}


@pytest.mark.parametrize("state", ["running", "stopped", "terminated"])
@pytest.mark.parametrize("is_tagged", [True, False])
def test_a_state_change_of_somebody_elses_instance_leaves_no_trace(
    busy: World, state: str, *, is_tagged: bool
) -> None:
    """One read of the bucket, one question to EC2; no put, no message, no second look."""
    other = busy.launch(tags=PRODUCTION)[0] if is_tagged else bare(busy)
    if state != "running":
        call = (
            busy.clients.ec2.stop_instances
            if state == "stopped"
            else busy.clients.ec2.terminate_instances
        )
        call(InstanceIds=[other])
    before = traces(busy)
    with calls(busy.clients) as made:
        assert busy.deliver(changed(other, state)) == []
        busy.pass_time(10)
    assert traces(busy) == before
    assert made == ["s3.GetObject", "ec2.DescribeInstances"]


def of_a_group(name: str, instance_id: str, group: str = "app") -> dict[str, Any]:
    """The sample of an Auto Scaling or spot event, of our account and about that instance."""
    text = (SAMPLES / f"{name}.json").read_text()
    for old, new in {
        "ap-southeast-2": REGION,
        "autoScalingGroupName/app-staging": f"autoScalingGroupName/{group}",
        "i-0a1b2c3d4e5f60001": instance_id,
    }.items():
        text = text.replace(old, new)
    sample: dict[str, Any] = json.loads(text)
    return sample


OF_GROUPS = [
    path.stem for path in SAMPLES.glob("*.json") if path.stem.startswith(PREFIXES)
]


@pytest.mark.fault("F271")
@pytest.mark.parametrize("group", ["app", "team/i-0a1b2c3d4e5f60002"])
@pytest.mark.parametrize("name", OF_GROUPS)
def test_somebody_elses_group_leaves_no_trace(
    busy: World, name: str, group: str
) -> None:
    """As with EC2's own events: the group that an event names beside the instance makes it about nobody else."""
    (other,) = busy.launch(tags=PRODUCTION)
    before = traces(busy)
    with calls(busy.clients) as made:
        assert busy.deliver(of_a_group(name, other, group)) == []
        busy.pass_time(10)
    assert traces(busy) == before
    assert made == ["s3.GetObject", "ec2.DescribeInstances"]


@pytest.mark.parametrize("name", OF_GROUPS)
def test_an_instance_of_our_group_is_looked_at_at_once(busy: World, name: str) -> None:
    """One that nobody knows yet joins by this event alone, as by EC2's; a known one is looked at without a question."""
    (new,) = busy.launch()
    assert busy.deliver(of_a_group(name, new)) == []
    assert new in ids(busy.state.backends)
    busy.pass_time(60)
    before = busy.state
    with calls(busy.clients) as made:
        assert busy.deliver(of_a_group(name, new)) == []
    assert busy.state.looked_at > before.looked_at
    assert made.count("ec2.DescribeInstances") == 1


def test_a_thousand_of_them_write_nothing(busy: World) -> None:
    """An account of others that come and go all day: what we pay is the reading."""
    others = busy.launch(number=10, tags=PRODUCTION)
    busy.pass_time(60)  # the last good config was put for the second time
    before = traces(busy)
    with calls(busy.clients) as made:
        for number in range(100):
            assert (
                busy.deliver(
                    *(
                        changed(each, ("running", "stopped")[number % 2])
                        for each in others
                    )
                )
                == []
            )
            busy.pass_time(1)
    assert traces(busy) == before
    assert len(made) == 200


def test_the_log_and_the_answer_have_a_word_for_it(
    busy: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Not `covered`: nobody looked, and nobody will."""
    (other,) = busy.launch(tags=PRODUCTION)
    caplog.clear()
    busy.deliver(changed(other))
    assert [record.message for record in caplog.records] == ["unrelated"]
    assert other in vars(caplog.records[0])["why"]
    assert busy.handle(changed(other))["result"] == "unrelated"


def test_a_launch_of_ours_is_looked_at_at_once(busy: World) -> None:
    """It is not known yet, so it is asked for; then everything is as ever."""
    orders = busy.orders()
    (new,) = busy.launch()
    assert busy.deliver(changed(new)) == []
    assert new in ids(busy.state.backends)
    busy.pass_time(1)
    assert busy.orders() > orders


@pytest.mark.parametrize("kind", ["tomcat", "redis"])
@pytest.mark.parametrize("is_stopped", [True, False])
def test_ours_by_its_tags_is_ours(busy: World, kind: str, *, is_stopped: bool) -> None:
    """Whatever its type, and also when it does not run."""
    (new,) = busy.launch(kind)
    if is_stopped:
        busy.clients.ec2.stop_instances(InstanceIds=[new])
    before = busy.state
    assert busy.deliver(changed(new)) == []
    assert busy.state.looked_at > before.looked_at


def test_what_ec2_does_not_show_may_be_ours(busy: World) -> None:
    """EC2 is eventually consistent: an id that does not come back is looked at, and once more later."""
    (other,) = busy.launch(tags=PRODUCTION)
    both = changed(other) | {
        "resources": ["arn:aws:ec2:::instance/i-0a1b2c3d4e5f60001"]
    }
    before = busy.state
    assert busy.deliver(both) == []
    assert busy.state.looked_at > before.looked_at
    (new,) = busy.launch()
    busy.pass_time(4)
    assert new in ids(busy.state.backends)


@pytest.mark.fault("F24")
def test_a_tag_that_ec2_does_not_show_yet_is_believed_when_it_makes_it_ours(
    busy: World,
) -> None:
    """EC2 still shows the instance without tags when the event comes: it is in long before the sweep."""
    late = bare(busy)
    assert (
        busy.deliver(
            tags_changed(busy, {"Environment": "staging", "Type": "tomcat"}, late)
        )
        == []
    )
    tags = [
        {"Key": "Environment", "Value": "staging"},
        {"Key": "Type", "Value": "tomcat"},
    ]
    busy.clients.ec2.create_tags(Resources=[late], Tags=tags)
    busy.pass_time(4)
    assert late in ids(busy.state.backends)


def test_a_tag_change_of_somebody_elses_instance_leaves_no_trace(busy: World) -> None:
    """Its claim is not what decides: EC2 is asked."""
    (other, ours) = (*busy.launch(tags=PRODUCTION), *busy.launch())
    before = traces(busy)
    assert busy.deliver(tags_changed(busy, PRODUCTION, other)) == []
    assert traces(busy) == before
    assert busy.deliver(tags_changed(busy, PRODUCTION, ours)) == []
    assert ours in ids(busy.state.backends)


def present(world: World) -> set[str]:
    """Whoever was ours at the last look."""
    state = world.state
    return ids(state.backends) | ids(state.proxies) | set(state.others)


@pytest.mark.parametrize("kind", ["tomcat", "haproxy", "redis"])
def test_what_leaves_is_known_although_it_is_no_longer_ours(
    busy: World, kind: str
) -> None:
    """A backend, a proxy, or another that a template may show: without its tag it is looked at all the same."""
    (leaving,) = busy.launch(kind)
    busy.sweep()
    busy.settle()
    busy.pass_time(60)
    assert leaving in present(busy)
    busy.clients.ec2.delete_tags(Resources=[leaving], Tags=[{"Key": "Environment"}])
    assert busy.deliver(tags_changed(busy, {"Type": kind}, leaving)) == []
    assert leaving not in present(busy)


def test_a_skipped_instance_is_known(busy: World) -> None:
    """Its port was bad; nothing of it is in the config, but the state names it."""
    (bad,) = busy.launch(tags={"haproxy:port": "0"})
    busy.sweep()
    busy.pass_time(60)
    busy.clients.ec2.delete_tags(Resources=[bad], Tags=[{"Key": "Environment"}])
    assert bad in ids(busy.state.skipped)
    assert busy.deliver(tags_changed(busy, {}, bad)) == []
    assert bad not in ids(busy.state.skipped)


@pytest.mark.fault("F22")
def test_a_question_that_fails_is_a_look_and_a_look_that_fails_returns_the_batch(
    busy: World,
) -> None:
    """The message comes back, and nothing is written but that it failed."""
    (other,) = busy.launch(tags=PRODUCTION)
    before = busy.state
    _, *others = traces(busy)
    with failing(
        busy.clients, "ec2.DescribeInstances", Fault(503, "RequestLimitExceeded")
    ):
        assert busy.deliver(changed(other)) == ["m-0"]
    assert apart_from_failure(busy.state, before) == before
    assert traces(busy)[1:] == tuple(others)


def test_when_ec2_throttles_foreign_events_have_the_pace_of_looks(busy: World) -> None:
    """They wait for the next look instead of coming back, and one of ours among them waits with them."""
    others = busy.launch(number=3, tags=PRODUCTION)
    busy.sweep()
    (new,) = busy.launch()
    with failing(
        busy.clients, "ec2.DescribeInstances", Fault(503, "RequestLimitExceeded")
    ):
        for other in (*others, new):
            assert busy.deliver(changed(other)) == []
    busy.pass_time(5)
    assert new in ids(busy.state.backends)


@pytest.mark.parametrize("is_amended", [False, True])
@pytest.mark.parametrize(
    "body", [None, b"{", b"{}"], ids=["deleted", "rubbish", "empty"]
)
def test_where_the_state_is_lost_nobody_is_a_stranger(
    busy: World, body: bytes | None, *, is_amended: bool
) -> None:
    """Who was known is not known then, nor after a person had it written: the event is a look, which repairs it."""
    (gone, *_) = sorted(ids(busy.state.backends))
    if body is None:
        busy.clients.s3.delete_object(Bucket="bucket", Key=KEY)
    else:
        busy.clients.s3.put_object(Bucket="bucket", Key=KEY, Body=body)
    if is_amended:
        busy.act("verify")
    busy.clients.ec2.delete_tags(Resources=[gone], Tags=[{"Key": "Environment"}])
    busy.deliver(tags_changed(busy, {"Type": "tomcat"}, gone))
    assert gone not in ids(busy.state.backends)
    assert busy.state.backends


def test_beside_what_wants_a_look_nobody_is_asked_for(busy: World) -> None:
    """One look for the batch, and no question: it would save nothing."""
    (other,) = busy.launch(tags=PRODUCTION)
    (known, *_) = sorted(ids(busy.state.backends))
    busy.sweep()
    with calls(busy.clients) as made:
        # Deferred, right after that look.
        assert busy.deliver(changed(other), changed(known)) == []
    assert "ec2.DescribeInstances" not in made
    for relevant in (changed(known), SWEEP, event("aws.s3", "Object Created")):
        busy.pass_time(60)
        before = busy.state
        with calls(busy.clients) as made:
            assert busy.deliver(changed(other), relevant) == []
        assert made.count("ec2.DescribeInstances") == 1
        assert busy.state.looked_at > before.looked_at


def test_what_a_look_has_seen_is_not_asked_for(busy: World) -> None:
    """Covered is covered, whoever's it is."""
    (other,) = busy.launch(tags=PRODUCTION)
    busy.sweep()
    with calls(busy.clients) as made:
        assert busy.deliver(changed(other), sent_at=busy.now - 5) == []
    assert made == ["s3.GetObject"]


def test_right_after_a_look_a_stranger_schedules_none(busy: World) -> None:
    """Where an event of ours would wait for the next look, one of somebody else's is done."""
    (other,) = busy.launch(tags=PRODUCTION)
    busy.sweep()
    before = traces(busy)
    assert busy.deliver(changed(other)) == []
    assert traces(busy) == before


def test_a_stranger_beside_a_command_costs_no_look(busy: World) -> None:
    """The rollout's next step is taken; nothing is looked at, now or later."""
    (other,) = busy.launch(tags=PRODUCTION)
    busy.sweep()
    looked_at = busy.state.looked_at
    assert (
        busy.deliver(
            changed(other), event("aws.ssm", "EC2 Command Status-change Notification")
        )
        == []
    )
    busy.pass_time(10)
    assert busy.state.looked_at == looked_at


def test_more_than_a_filter_takes_is_just_looked_at(busy: World) -> None:
    """No event of EC2 names so many; whatever does gets a look."""
    others = [f"i-{number:017x}" for number in range(201)]
    before = busy.state
    with calls(busy.clients) as made:
        assert busy.deliver(tags_changed(busy, PRODUCTION, *others)) == []
    assert made.count("ec2.DescribeInstances") == 1
    assert busy.state.looked_at > before.looked_at
