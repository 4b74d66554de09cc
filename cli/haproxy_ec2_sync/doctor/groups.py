"""Auto Scaling groups of backends: whether our hooks hold their instances up, and whether the function may end that."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from haproxy_ec2_sync.doctor.events import sweep_seconds
from haproxy_ec2_sync.doctor.facts import Group, Hook
from haproxy_ec2_sync.doctor.lines import Line, by_trouble, right, some, verdict
from haproxy_ec2_sync.text import count

LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"
MISSING = {
    LAUNCHING: "no launch hook of ours, so an instance may be in service before proxies see it up",
    TERMINATING: "no terminate hook of ours, so requests are cut when an instance leaves",
}
"""What is wrong where hooks of ours hold up the other transition alone."""

COPY = "docs/auto-scaling.md has it to copy"
LEAST_SECONDS, SENSIBLE_SECONDS, DEFAULT_SECONDS = 30.0, 300.0, 3600.0
"""Timeouts of a hook: the shortest that Auto Scaling takes, one that is long enough, and its own default."""


@dataclass(frozen=True, slots=True)
class Ours:
    """Which hooks the function ends, in groups with which tag, and how often it looks by itself: `rate(1 minute)`."""

    prefix: str
    key: str
    value: str
    rate: str

    def hooks(self, group: Group) -> tuple[Hook, ...]:
        """Those of the group that it ends."""
        return tuple(each for each in group.hooks if each.name.startswith(self.prefix))


def hooks(found: Sequence[Group], ours: Ours) -> tuple[Line, ...]:
    """Those who have hooks of ours have both, whose timeouts wait for a sweep, and the tag; who has none is told."""
    held = [group for group in found if ours.hooks(group)]
    free = [group.name for group in found if group not in held]
    lines = (*_held(held, ours), *_free(free))
    return lines or (right("no backend is in an Auto Scaling group"),)


def _held(held: Sequence[Group], ours: Ours) -> tuple[Line, ...]:
    if not held:
        return ()
    troubles = (trouble for group in held for trouble in _troubles(group, ours))
    fine = f"{count(len(held), 'group')} with a launch and a terminate hook of ours"
    return verdict(by_trouble(troubles), fine)


def _free(free: Sequence[str]) -> tuple[Line, ...]:
    """A note: whose requests end fast needs no hook."""
    told = f"{some(free)}: no hooks of ours, so requests are cut when an instance leaves (docs/auto-scaling.md)"
    return (right(told),) if free else ()


def _troubles(group: Group, ours: Ours) -> Iterator[tuple[str, str, str]]:
    """Of one that has hooks of ours: what is wrong, what to do, and its name."""
    if group.tags.get(ours.key) != ours.value:
        tag = f"Key={ours.key},Value={ours.value},PropagateAtLaunch=true"
        yield (
            f"no tag {ours.key}={ours.value} on the group, so the function may not end its hooks",
            f"aws autoscaling create-or-update-tags --tags ResourceId=GROUP,ResourceType=auto-scaling-group,{tag}",
            group.name,
        )
    held_up = {each.transition for each in ours.hooks(group)}
    for transition, detail in MISSING.items():
        if transition not in held_up:
            yield detail, COPY, group.name
    for hook in ours.hooks(group):
        yield from _timeout(hook, group, ours)


def _timeout(hook: Hook, group: Group, ours: Ours) -> Iterator[tuple[str, str, str]]:
    """One that is over before a sweep makes up for a lost event; heartbeats come from whoever has looked."""
    sweep = max(LEAST_SECONDS, min(sweep_seconds(ours.rate), DEFAULT_SECONDS))
    if hook.seconds < sweep:
        yield (
            f"hook {hook.name} is over in {hook.seconds:.0f} s, and the next sweep may come in {sweep:.0f} s",
            f"aws autoscaling put-lifecycle-hook --heartbeat-timeout {max(SENSIBLE_SECONDS, 2 * sweep):.0f}",
            group.name,
        )
