"""Raw records -> what they ask for. An event says "look again", and about whom; its word can never keep us from it."""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import islice
from typing import Any

from haproxy_sync.errors import BadEvent
from haproxy_sync.fleet.model import INSTANCE_ID, NO_TAGS
from haproxy_sync.state.model import UnixSeconds

OWN_SOURCE = "haproxy-ec2-sync"
REQUEUED = "requeue"
REBALANCE = "EC2 Instance Rebalance Recommendation"
AUTO_SCALING = "aws.autoscaling"
GROUP = re.compile(
    r"arn:[a-z-]+:autoscaling:[a-z0-9-]+:[0-9]{12}:autoScalingGroup:[^:]+:autoScalingGroupName/.+",
    re.ASCII,
)
WHY = re.compile(r"[a-z0-9, -]{1,240}", re.ASCII)


class Kind(StrEnum):
    """Why we were woken."""

    CHANGE = "change"  # EC2, tags, a template: something may be different
    SWEEP = "sweep"  # the schedule
    COMMAND = "command"  # a proxy reported
    REQUEUE = REQUEUED  # our own delayed message
    ADVANCE = "advance"  # one that wants no look
    OPERATOR = "operator"
    # Another account or region: nothing of ours can have sent it here.
    FOREIGN = "foreign"
    CHECK = "check"  # a check ended, which nobody waits for


IGNORED = {
    Kind.FOREIGN: "event of another account or region",
    Kind.CHECK: "end of a check",
}
"""What is no reason to do anything, and what it is."""

KINDS = {
    "aws.ec2": Kind.CHANGE,
    "aws.tag": Kind.CHANGE,
    AUTO_SCALING: Kind.CHANGE,
    "aws.s3": Kind.CHANGE,
    "aws.events": Kind.SWEEP,
    "aws.scheduler": Kind.SWEEP,
    "aws.ssm": Kind.COMMAND,
    OWN_SOURCE: Kind.REQUEUE,
}
ADVANCE = "Advance"
OWN_KINDS = {ADVANCE: Kind.ADVANCE}
"""Of our own messages by detail type, but for those that want a look."""
MAX_TIME = float(1 << 53)
"""Unix seconds, beyond which a float tells none from the next."""


@dataclass(frozen=True, slots=True)
class Home:
    """The account and region this function runs in."""

    account: str
    region: str


@dataclass(frozen=True, slots=True)
class Event:
    """One reason to look. `sent_at` is when the queue got it, in unix seconds; nobody reads the event's own time."""

    kind: Kind
    why: str
    sent_at: UnixSeconds = 0.0
    # A requeue is done once a look began at or after this.
    look_after: UnixSeconds = 0.0
    # It is about these and nothing else; empty: about anything.
    instance_ids: tuple[str, ...] = ()
    # What a tag change claims that they have now.
    tags: Mapping[str, str] = field(default=NO_TAGS, hash=False)
    # EC2 recommends to replace them. No API says so again, so this is believed; it is told, and changes nothing.
    rebalance: bool = False


@dataclass(frozen=True, slots=True)
class Intent:
    """All events of one batch: many events, one reconcile."""

    events: tuple[Event, ...]
    allow_mass_removal: bool = False
    adopt: bool = False  # the proxies that the look finds

    @property
    def kinds(self) -> frozenset[Kind]:
        """What kinds of events there are."""
        return frozenset(event.kind for event in self.events)

    @property
    def why(self) -> str:
        """The distinct reasons, at most three, for the history."""
        reasons = sorted({event.why for event in self.events})
        more = f", and {len(reasons) - 3} more" if len(reasons) > 3 else ""  # noqa: PLR2004 # three read well
        return ", ".join(reasons[:3]) + more

    def without(self, gone: Collection[Event]) -> "Intent":
        """The batch without some of its events."""
        return replace(
            self, events=tuple(event for event in self.events if event not in gone)
        )


def operator(
    why: str, *, allow_mass_removal: bool = False, adopt: bool = False
) -> Intent:
    """What a person asked for."""
    return Intent((Event(Kind.OPERATOR, why),), allow_mass_removal, adopt)


def parse_record(record: Mapping[str, Any], home: Home) -> Event:
    """One SQS record (`BadEvent` if it can never be read)."""
    try:
        body = json.loads(record["body"])
        sent_at = int(record["attributes"]["SentTimestamp"]) / 1000
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise BadEvent(
            f"record is no SQS message with a JSON body: {type(error).__name__}: {error}"
        ) from error
    return parse_event(body, home, sent_at)


def parse_event(body: object, home: Home, sent_at: UnixSeconds = 0.0) -> Event:
    """One EventBridge event, from the queue or bare (`BadEvent` if it is none of ours)."""
    if not isinstance(body, dict) or not isinstance(body.get("detail-type"), str):
        raise BadEvent("no EventBridge event: detail-type is missing")
    detail = _detail(body)
    kind = KINDS.get(str(body.get("source")))
    if kind is None:
        raise BadEvent(f"source {str(body.get('source'))[:64]!r} is none of ours")
    if (body.get("account"), body.get("region")) != (home.account, home.region):
        return Event(Kind.FOREIGN, "foreign", sent_at)
    if kind is Kind.CHANGE:
        return _change(body, detail, sent_at)
    if kind is Kind.REQUEUE:
        return _requeue(body, detail, sent_at)
    return _of_a_kind(kind, detail, sent_at)


def _detail(body: Mapping[str, Any]) -> Mapping[str, Any]:
    detail = body.get("detail")
    if detail in ("{}", ""):  # EventBridge Scheduler sends text
        return {}
    if not isinstance(detail, dict):
        raise BadEvent("no EventBridge event: detail is missing")
    return detail


def _requeue(
    body: Mapping[str, Any], detail: Mapping[str, Any], sent_at: UnixSeconds
) -> Event:
    """Our own message."""
    told = OWN_KINDS.get(body["detail-type"], Kind.REQUEUE)
    return Event(told, _requeued_for(detail), sent_at, look_after=_look_after(detail))


def _of_a_kind(kind: Kind, detail: Mapping[str, Any], sent_at: UnixSeconds) -> Event:
    """Of the schedule or a command. That it was a check is believed: whoever lied could as well say nothing."""
    parameters = detail.get("parameters")
    is_check = isinstance(parameters, dict) and parameters.get("Action") == ["check"]
    told = Kind.CHECK if is_check and kind is Kind.COMMAND else kind
    return Event(told, str(told), sent_at)


def _change(
    body: Mapping[str, Any], detail: Mapping[str, Any], sent_at: UnixSeconds
) -> Event:
    """Of EC2, tags, an Auto Scaling group or a template; only the shapes that AWS documents say whom it is about."""
    has_tags = isinstance(detail.get("tags"), dict)
    is_about_instances = has_tags or body["source"] != "aws.tag"
    return Event(
        kind=Kind.CHANGE,
        why=_label(body, detail),
        sent_at=sent_at,
        instance_ids=_instance_ids(body, detail) if is_about_instances else (),
        tags=detail["tags"] if has_tags else NO_TAGS,
        rebalance=(body["source"], body["detail-type"]) == ("aws.ec2", REBALANCE),
    )


def _label(body: Mapping[str, Any], detail: Mapping[str, Any]) -> str:
    """`ec2-instance-state-change-notification i-0abc`: it is for people, so nothing else of the event passes."""
    label = re.sub(r"[^a-z0-9]+", "-", body["detail-type"].lower())[:48].strip("-")
    ids = filter(INSTANCE_ID.fullmatch, _named(body, detail))
    return " ".join([label, *islice(ids, 1)])


def _named(body: Mapping[str, Any], detail: Mapping[str, Any]) -> list[str]:
    """What a change is about, by name; of Auto Scaling without the group, whose instance the detail names."""
    if body["source"] == AUTO_SCALING:
        rest = [each for each in _resources(body) if not GROUP.fullmatch(each)]
        return [str(detail.get("EC2InstanceId")), *_names(rest)]
    told = [str(detail["instance-id"])] if "instance-id" in detail else []
    return [*_names(_resources(body)), *told]


def _resources(body: Mapping[str, Any]) -> list[str]:
    """The resources' ARNs; what is no list is one that fits nothing."""
    resources = body.get("resources", [])
    return list(map(str, resources)) if isinstance(resources, list) else [""]


def _names(arns: Iterable[str]) -> list[str]:
    """Their last parts."""
    return [arn.rpartition("/")[2] for arn in arns]


def _instance_ids(
    body: Mapping[str, Any], detail: Mapping[str, Any]
) -> tuple[str, ...]:
    """The instances that a change is about, if it is about instances and nothing else."""
    named = set(_named(body, detail))
    if all(map(INSTANCE_ID.fullmatch, named)):
        return tuple(sorted(named))
    return ()


def _requeued_for(detail: Mapping[str, Any]) -> str:
    """What our message was sent for; anybody may write it, so only our own shape passes."""
    why = detail.get("why")
    is_ours = isinstance(why, str) and WHY.fullmatch(why)
    if is_ours:
        return str(why)
    return REQUEUED


def _look_after(detail: Mapping[str, Any]) -> UnixSeconds:
    look_after: Any = detail.get("look_after")
    # JSON has whole numbers of any length, and Python's reads NaN.
    if type(look_after) not in {int, float} or not 0 <= look_after <= MAX_TIME:
        raise BadEvent("requeue without look_after")
    return float(look_after)


def intent(events: Iterable[Event]) -> Intent:
    """The batch's events that are ours."""
    return Intent(tuple(event for event in events if event.kind not in IGNORED))
