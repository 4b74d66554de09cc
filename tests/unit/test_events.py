"""Records become intents, or are refused; nothing is decided by what an event claims."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haproxy_sync.errors import BadEvent
from haproxy_sync.reconcile import events
from haproxy_sync.reconcile.events import Home, Kind

HOME = Home("123456789012", "ap-southeast-2")
SAMPLES = Path(__file__).parents[2] / "events"


def state_change(**changes: Any) -> dict[str, Any]:
    """An EC2 event."""
    return {
        "source": "aws.ec2",
        "detail-type": "EC2 Instance State-change Notification",
        "account": HOME.account,
        "region": HOME.region,
        "time": "2026-11-22T03:04:05Z",
        "resources": [
            "arn:aws:ec2:ap-southeast-2:123456789012:instance/i-0a1b2c3d4e5f60001"
        ],
        "detail": {"instance-id": "i-0a1b2c3d4e5f60001", "state": "running"},
    } | changes


def record(body: object, sent: str = "1795316645000") -> dict[str, Any]:
    """A message of the queue."""
    text = body if isinstance(body, str) else json.dumps(body)
    return {"messageId": "m", "body": text, "attributes": {"SentTimestamp": sent}}


def test_a_record_says_when_it_was_sent_and_why() -> None:
    """The queue's time counts, and the reason is readable."""
    event = events.parse_record(record(state_change()), HOME)
    assert event.kind is Kind.CHANGE
    assert event.sent_at == 1795316645.0
    assert event.why == "ec2-instance-state-change-notification i-0a1b2c3d4e5f60001"


@pytest.mark.fault("F16")
@pytest.mark.parametrize(
    "state", ["running", "terminated", "hibernating-upside-down", ""]
)
def test_the_state_an_event_claims_is_not_read(state: str) -> None:
    """Every state, known or not, only says: look again."""
    detail = {"instance-id": "i-0a1b2c3d4e5f60001", "state": state}
    assert events.parse_event(state_change(detail=detail), HOME) == events.parse_event(
        state_change(), HOME
    )


ARN = "arn:aws:ec2:ap-southeast-2:123456789012:instance/"
TAGGED: dict[str, Any] = {
    "source": "aws.tag",
    "resources": [f"{ARN}i-0000000a"],
    "detail": {"tags": {"Type": "tomcat"}},
}

GROUP = (
    "arn:aws:autoscaling:ap-southeast-2:123456789012:autoScalingGroup:"
    "0d4c1b6e-1111-2222-3333-444455556666:autoScalingGroupName/"
)
LAUNCHED: dict[str, Any] = {
    "source": "aws.autoscaling",
    "resources": [f"{GROUP}app", f"{ARN}i-0000000a"],
    "detail": {"AutoScalingGroupName": "app", "EC2InstanceId": "i-0000000a"},
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ("i-0a1b2c3d4e5f60001",)),
        ({"resources": []}, ("i-0a1b2c3d4e5f60001",)),
        (
            {"detail": {"instance-id": "i-0000000a"}},
            ("i-0000000a", "i-0a1b2c3d4e5f60001"),
        ),
        (
            {"resources": [f"{ARN}i-0000000b", f"{ARN}i-0000000a"], "detail": {}},
            ("i-0000000a", "i-0000000b"),
        ),
        (TAGGED, ("i-0000000a",)),
        (LAUNCHED, ("i-0000000a",)),
        (LAUNCHED | {"resources": [f"{GROUP}app"]}, ("i-0000000a",)),
        (
            LAUNCHED | {"resources": [f"{GROUP}app", f"{ARN}i-0000000b"]},
            ("i-0000000a", "i-0000000b"),
        ),
        # A group may have any name.
        (LAUNCHED | {"resources": [f"{GROUP}a/i-0000000b"]}, ("i-0000000a",)),
        (LAUNCHED | {"resources": [f"{GROUP}i-0000000b"]}, ("i-0000000a",)),
        # Odd ones are about anything.
        (LAUNCHED | {"detail": {"AutoScalingGroupName": "app"}}, ()),
        (LAUNCHED | {"detail": {"instance-id": "i-0000000a"}}, ()),
        (LAUNCHED | {"detail": {"EC2InstanceId": ["i-0000000a"]}}, ()),
        (LAUNCHED | {"detail": {"EC2InstanceId": "i-0000000a*"}}, ()),
        (LAUNCHED | {"resources": [f"{GROUP}app", "arn:aws:x:::app"]}, ()),
        (LAUNCHED | {"resources": [f"x{GROUP}app"]}, ()),
        (LAUNCHED | {"resources": f"{GROUP}app"}, ()),
        (LAUNCHED | {"source": "aws.ec2"}, ()),
        (LAUNCHED | {"source": "aws.s3"}, ()),
        ({"resources": [f"{ARN}i-0000000b", "arn:aws:autoscaling:x"]}, ()),
        ({"resources": [f"{ARN}i-0000000b\n"]}, ()),
        ({"resources": [f"{ARN}i-0000000b*"]}, ()),
        ({"resources": [7]}, ()),
        ({"detail": {"instance-id": "i-*"}}, ()),
        ({"detail": {"instance-id": ["i-0000000a"]}}, ()),
        ({"resources": "i-0000000a", "detail": {}}, ()),
        ({"resources": {"x": 1}}, ()),
        (TAGGED | {"detail": {}}, ()),
        (TAGGED | {"detail": {"tags": ["Type"]}}, ()),
        ({"source": "aws.s3", "resources": ["arn:aws:s3:::bucket"], "detail": {}}, ()),
        ({"source": "aws.events"}, ()),
        ({"source": "aws.ssm"}, ()),
    ],
)
def test_whom_an_event_is_about(
    changes: dict[str, Any], expected: tuple[str, ...]
) -> None:
    """Instances and nothing else, in the shape that is known; everything else is about anything, so it is looked at."""
    assert events.parse_event(state_change(**changes), HOME).instance_ids == expected


@pytest.mark.fault("F271")
def test_a_lifecycle_action_says_whom_it_is_about() -> None:
    """To whoever reads the history, too, although its resources name the group alone."""
    kind = "EC2 Instance-terminate Lifecycle Action"
    for group in ("app", "a/i-0000000b"):
        action = LAUNCHED | {"detail-type": kind, "resources": [GROUP + group]}
        event = events.parse_event(state_change(**action), HOME)
        assert event.why == "ec2-instance-terminate-lifecycle-action i-0000000a"


@pytest.mark.parametrize(
    ("name", "is_told"),
    [("rebalance-recommendation", True), ("spot-interruption-warning", False)],
)
def test_a_rebalance_recommendation_is_a_change_that_says_so(
    name: str, *, is_told: bool
) -> None:
    """Nothing else says it once more, so it is what the event itself says that counts."""
    sample = json.loads((SAMPLES / f"{name}.json").read_text())
    event = events.parse_event(sample, HOME)
    assert (event.kind, event.rebalance) == (Kind.CHANGE, is_told)
    assert event.instance_ids == ("i-0a1b2c3d4e5f60001",)


@pytest.mark.parametrize("source", ["aws.autoscaling", "aws.tag", "aws.s3"])
def test_nobody_but_ec2_recommends_a_rebalance(source: str) -> None:
    """An event of that name from elsewhere is a change as any other."""
    body = state_change(
        source=source, **{"detail-type": "EC2 Instance Rebalance Recommendation"}
    )
    assert not events.parse_event(body, HOME).rebalance


def test_what_a_tag_change_claims_is_kept() -> None:
    """As it came, hostile or not: it is only compared."""
    claimed = {"Environment": "staging\n", "x": 7}
    assert (
        events.parse_event(
            state_change(**TAGGED | {"detail": {"tags": claimed}}), HOME
        ).tags
        == claimed
    )
    assert events.parse_event(state_change(), HOME).tags == {}


@pytest.mark.fault("F15")
@pytest.mark.parametrize(
    "time", ["2099-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "yesterday"]
)
def test_the_time_an_event_claims_is_not_read(time: str) -> None:
    """A clock that is wrong elsewhere changes nothing here."""
    assert events.parse_event(state_change(time=time), HOME) == events.parse_event(
        state_change(), HOME
    )


@pytest.mark.fault("F14")
@pytest.mark.parametrize(
    "changes", [{"account": "999999999999"}, {"region": "us-east-1"}, {"account": None}]
)
def test_an_event_of_another_account_or_region_is_not_ours(
    changes: dict[str, Any],
) -> None:
    """It is told apart, and leaves nothing to do."""
    event = events.parse_event(state_change(**changes), HOME)
    assert event.kind is Kind.FOREIGN
    assert events.intent([event]).events == ()


@pytest.mark.fault("F05")
@pytest.mark.parametrize(
    "body",
    [
        "not json",
        "[]",
        "null",
        "{}",
        json.dumps({"source": "aws.ec2", "detail-type": "x"}),
        json.dumps(state_change(source="aws.pipes")),
        json.dumps(state_change(source=["aws.ec2"])),
        json.dumps(state_change(detail=[])),
        json.dumps(state_change(**{"detail-type": 7})),
        json.dumps(
            state_change(source="haproxy-ec2-sync", detail={"look_after": "soon"})
        ),
    ],
)
def test_what_is_no_event_is_a_bad_event(body: str) -> None:
    """It is named as such, so that it can be acknowledged and counted."""
    with pytest.raises(BadEvent):
        events.parse_record(record(body), HOME)


def test_a_record_without_a_sent_time_is_a_bad_event() -> None:
    """Only what came through the queue is a record."""
    with pytest.raises(BadEvent):
        events.parse_record(
            {"messageId": "m", "body": json.dumps(state_change())}, HOME
        )


@given(
    st.text()
    | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(json.dumps)
)
def test_any_body_is_an_event_or_a_bad_event(body: str) -> None:
    """The parser has no third way out."""
    try:
        events.parse_record(record(body), HOME)
    except BadEvent as bad:
        assert str(bad)  # noqa: PT017 # either way is right


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "source",
                "detail-type",
                "account",
                "region",
                "detail",
                "resources",
                "time",
            ]
        ),
        st.none()
        | st.text(max_size=20)
        | st.lists(st.text(max_size=5), max_size=3)
        | st.integers(),
    )
)
def test_any_envelope_is_an_event_or_a_bad_event(changes: dict[str, Any]) -> None:
    """Fields of any type are survived."""
    try:
        events.parse_event(state_change(**changes), HOME)
    except BadEvent as bad:
        assert str(bad)  # noqa: PT017 # either way is right


def test_the_reason_never_carries_text_of_a_stranger() -> None:
    """Only shapes that are known get into the history and the logs."""
    event = events.parse_event(
        state_change(
            resources=["arn:x/i-\n#{{ evil }}"], **{"detail-type": "A\nB" * 99}
        ),
        HOME,
    )
    assert "\n" not in event.why
    assert "{" not in event.why
    assert len(event.why) < 120


@pytest.mark.fault("F02")
@given(st.permutations(["running", "terminated", "stopping", "pending"]))
def test_the_order_of_events_does_not_matter(states: list[str]) -> None:
    """Any order of a batch is the same intent."""
    batch = [
        events.parse_event(
            state_change(detail={"instance-id": "i-0a1b2c3d4e5f60001", "state": state}),
            HOME,
        )
        for state in states
    ]
    assert events.intent(batch) == events.intent(reversed(batch))
    assert (
        events.intent(batch).why
        == "ec2-instance-state-change-notification i-0a1b2c3d4e5f60001"
    )


@pytest.mark.fault("F13")
def test_an_event_redriven_hours_later_is_an_ordinary_one() -> None:
    """Its age is in the time the queue got it, nowhere else."""
    old = events.parse_record(record(state_change(), "1795316645000"), HOME)
    new = events.parse_record(record(state_change(), "1795350000000"), HOME)
    assert (old.kind, old.why) == (new.kind, new.why)


@pytest.mark.parametrize(
    ("source", "detail", "kind"),
    [
        ("aws.tag", {}, Kind.CHANGE),
        ("aws.s3", {}, Kind.CHANGE),
        ("aws.autoscaling", {}, Kind.CHANGE),
        ("aws.events", {}, Kind.SWEEP),
        ("aws.scheduler", "{}", Kind.SWEEP),
        ("aws.ssm", {}, Kind.COMMAND),
        ("haproxy-ec2-sync", {"look_after": 7}, Kind.REQUEUE),
    ],
)
def test_each_source_has_its_kind(source: str, detail: object, kind: Kind) -> None:
    """EventBridge Scheduler's text detail included."""
    assert (
        events.parse_event(state_change(source=source, detail=detail), HOME).kind
        is kind
    )


def test_our_own_message_may_want_no_look() -> None:
    """Its detail type says so."""
    body = state_change(source="haproxy-ec2-sync", detail={"look_after": 7})
    advance = body | {"detail-type": "Advance"}
    assert events.parse_event(advance, HOME).kind is Kind.ADVANCE


def test_many_reasons_are_told_shortly() -> None:
    """The history names three and counts the rest."""
    many = [events.Event(Kind.CHANGE, f"reason-{number}") for number in range(9)]
    assert events.intent(many).why == "reason-0, reason-1, reason-2, and 6 more"
