"""The way of an event: rules, queue, bucket. A lost one waits for the next sweep, which is an event, too."""

import re
from collections.abc import Sequence

from haproxy_ec2_sync.doctor.facts import Queue, Rule
from haproxy_ec2_sync.doctor.lines import (
    DEPLOY,
    Line,
    judged,
    right,
    some,
    verdict,
    wrong,
)
from haproxy_ec2_sync.text import count

BACKLOG = 100
"""As many messages wait in a storm of events, which is over in a minute."""

OLD_SECONDS = 1800.0
"""A healthy queue has messages that are as old as SQS can delay one (900 s), or that wait for a second try (360 s)."""

STATE_SECONDS = 900.0
SWEEPS = 3
"""The state is put with every look, and each sweep is one."""

SECONDS = {"minute": 60.0, "hour": 3600.0}


def rules(found: Sequence[Rule], queue: str) -> tuple[Line, ...]:
    """Each sends to the queue."""
    if not found:
        return (wrong("the stack has no rule of EventBridge", DEPLOY),)
    problems = [line for rule in found for line in _rule(rule, queue)]
    return verdict(problems, f"{count(len(found), 'rule')} enabled, all to {queue}")


def _rule(rule: Rule, queue: str) -> list[Line]:
    if not rule.arn:
        return [wrong(f"{rule.name} is gone", DEPLOY)]
    problems = []
    if rule.state == "DISABLED":
        advice = f"aws events enable-rule --name {rule.name}"
        problems.append(wrong(f"{rule.name} is {rule.state}", advice))
    if queue not in rule.targets:
        problems.append(wrong(f"{rule.name} does not send to {queue}", DEPLOY))
    return problems


def queue(found: Queue) -> tuple[Line, ...]:
    """It is emptied as fast as it fills."""
    waiting = f"{count(found.waiting, 'message')} waiting, {found.in_flight} in work"
    advice = "ask again in a minute; else see event-source, concurrency and errors"
    return judged(found.waiting <= BACKLOG, waiting, advice)


def queue_age(values: Sequence[float]) -> tuple[Line, ...]:
    """Its oldest message is young."""
    seconds = next(iter(values), 0.0)
    found = f"the oldest message waited {seconds:.0f} s"
    advice = "see event-source, concurrency and errors"
    return judged(seconds <= OLD_SECONDS, found, advice)


def dead_letters(found: Queue) -> tuple[Line, ...]:
    """Every event was taken."""
    number = found.waiting + found.in_flight
    advice = "read the function's log of when they came, then redrive them: each is safe at any time"
    return judged(not number, f"{count(number, 'message')} in {found.name}", advice)


def policy(found: Queue, senders: Sequence[Rule]) -> tuple[Line, ...]:
    """It lets the rules send."""
    refused = [rule.name for rule in senders if rule.arn and not found.takes_from(rule)]
    if refused:
        detail = f"the queue's policy does not let these send: {some(refused)}"
        return (wrong(detail, DEPLOY),)
    return (right("lets every rule send"),)


def notifications(*, sends_events: bool) -> tuple[Line, ...]:
    """Uploads are events."""
    told = "every" if sends_events else "no"
    return judged(
        sends_events, f"the bucket tells EventBridge of {told} upload", DEPLOY
    )


def versioning(status: str) -> tuple[Line, ...]:
    """What is overwritten is kept."""
    found = f"the bucket's versioning is {status or 'off'}"
    return judged(status == "Enabled", found, DEPLOY)


def state(
    key: str, written_at: float | None, now: float, rate: str
) -> tuple[Line, ...]:
    """It is there, and new for who looks at this rate: `rate(5 minutes)`."""
    if written_at is None:
        advice = "the first look writes it: haproxy-ec2-sync sync, and see what it says"
        return (wrong(f"there is no {key} in the bucket", advice),)
    seconds = max(0.0, now - written_at)
    found = f"{key} was written {seconds:.0f} s ago"
    advice = "see rules, event-source and errors"
    return judged(
        seconds <= max(STATE_SECONDS, SWEEPS * sweep_seconds(rate)), found, advice
    )


def sweep_seconds(rate: str) -> float:
    """Seconds between two; none where nobody knows."""
    return sum(
        float(number) * SECONDS[unit]
        for number, unit in re.findall(r"(\d+) (minute|hour)", rate)
    )
