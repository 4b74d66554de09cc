"""The rules' patterns let through what can change a config, and nothing else: judged by events, not by their text."""

import json
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from typing import Any

from botocore.session import get_session
from moto.events.models import EventPattern

from tests.template.mutants import GONE, Mutant, nodes
from tests.template.stack import Stack
from tests.template.translate import PROJECT

EVENTS = PROJECT / "events"
# Which rule lets a sample through; the schedule has no pattern, and what is ours comes by the queue.
MATCHES = {
    "autoscaling-launch-lifecycle-action": "AutoScalingRule",
    "autoscaling-launch-successful": "AutoScalingRule",
    "autoscaling-terminate-lifecycle-action": "AutoScalingRule",
    "autoscaling-terminate-successful": "AutoScalingRule",
    "autoscaling-warm-pool-lifecycle-action": "AutoScalingRule",
    "rebalance-recommendation": "SpotRule",
    "spot-interruption-warning": "SpotRule",
    "ec2-instance-state-running": "InstanceStateRule",
    "ec2-instance-state-shutting-down": "InstanceStateRule",
    "ec2-instance-state-stopped": "InstanceStateRule",
    "ec2-instance-state-stopping": "InstanceStateRule",
    "ec2-instance-state-terminated": "InstanceStateRule",
    "tag-change-environment-updated": "InstanceTagRule",
    "tag-change-type-added": "InstanceTagRule",
    "tag-change-type-removed": "InstanceTagRule",
    "tag-change-weight-set": "InstanceTagRule",
    "ssm-command-failed": "CommandRule",
    "ssm-command-success": "CommandRule",
    "ssm-command-timedout": "CommandRule",
    "s3-template-deleted": "UploadRule",
    "s3-template-uploaded": "UploadRule",
    "s3-variables-uploaded": "UploadRule",
}
# A command that is not over yet. EventBridge's `Delayed` is no status of the API.
UNDER_WAY = {"Pending", "InProgress", "Delayed", "Cancelling"}
OPTIONS = ["haproxy:port", "haproxy:weight", "haproxy:backup", "haproxy:drain"]
# What the samples call it, and what the stack does.
OF_THE_SAMPLES = {
    "haproxy-ec2-sync-staging-configbucket-1a2b3c4d5e6f": "${ConfigBucket}",
    "haproxy-ec2-sync-staging-ApplyDocument-AbC123dEfGhI": "${ApplyDocument}",
    "templates/staging/": "templates/${Environment}/",
    "vars/staging.yml": "vars/${Environment}.yml",
    '["Environment"]': '["${EnvironmentTagKey}"]',
    '["Type"]': '["${TypeTagKey}"]',
}

type Case = tuple[str, dict[str, Any], str | None]
"""What it is, the event, and the rule that lets it through."""
KNOWN: dict[tuple[str, ...], tuple[list[Case], tuple[str, ...]]] = {}


@cache
def sample_texts() -> Mapping[str, str]:
    """All samples in one line each, by name."""
    return {
        path.stem: json.dumps(json.loads(path.read_text()))
        for path in sorted(EVENTS.glob("*.json"))
    }


def samples() -> dict[str, dict[str, Any]]:
    """All samples, by name."""
    return {name: json.loads(text) for name, text in sample_texts().items()}


def sample(stack: Stack, name: str) -> dict[str, Any]:
    """A sample, as if it were an event of this stack."""
    text = sample_texts()[name]
    for old, new in OF_THE_SAMPLES.items():
        text = text.replace(old, stack.text(new))
    event: dict[str, Any] = json.loads(text)
    return event


def matching(stack: Stack, event: Any) -> list[str]:
    """The rules whose pattern lets the event through."""
    text = json.dumps(event)
    return [name for name, each in patterns(stack) if _passes(each, (text,)) == (True,)]


def patterns(stack: Stack) -> list[tuple[str, str]]:
    """Of each rule that has one, as a text."""
    return [
        (name, json.dumps(rule["EventPattern"]))
        for name, rule in stack.of_type("AWS::Events::Rule").items()
        if "EventPattern" in rule
    ]


@lru_cache(maxsize=256)
def _passes(pattern: str, events: tuple[str, ...]) -> tuple[bool, ...]:
    """For each event whether it passes; kept, since most changes of a template are not of its patterns."""
    rule = EventPattern.load(pattern)
    return tuple(bool(rule.matches_event(json.loads(event))) for event in events)


def patterns_let_through(stack: Stack) -> Iterator[str]:
    """Each event passes exactly the rule that is there for it."""
    known, events = cases(stack)
    found = {name: _passes(each, events) for name, each in patterns(stack)}
    for number, (what, _, rule) in enumerate(known):
        passed = [name for name, passes in found.items() if passes[number]]
        if passed != ([rule] if rule else []):
            yield f"{what} passes {passed}, not {rule}"


def patterns_say_nothing_idle(stack: Stack) -> Iterator[str]:
    """Each item of a pattern counts for some event: what nobody sends today lets through tomorrow."""
    _, events = cases(stack)
    for name, pattern in patterns(stack):
        yield from (f"{name}: {idle}" for idle in _idle(pattern, events))


@lru_cache(maxsize=256)
def _idle(pattern: str, events: tuple[str, ...]) -> list[str]:
    written, found = json.loads(pattern), []
    for path, node in nodes(written, ()):
        items = enumerate(node) if isinstance(node, list) else ()
        for number, item in items:
            if isinstance(item, dict) and len(item) != 1:
                found.append(f"{item} is no operator")
            rest = Mutant((*path, number), "", GONE).of(written)
            # A list of none is no pattern.
            if len(node) > 1 and _passes(json.dumps(rest), events) == _passes(
                pattern, events
            ):
                found.append(f"no event needs {item}")
    return found


def cases(stack: Stack) -> tuple[list[Case], tuple[str, ...]]:
    """All cases, and the text of each event; made once for all stacks whose names in events are the same."""
    names = tuple(map(stack.text, OF_THE_SAMPLES.values()))
    if names not in KNOWN:
        known = list(_cases(stack))
        KNOWN[names] = known, tuple(json.dumps(event) for _, event, _ in known)
    return KNOWN[names]


def _cases(stack: Stack) -> Iterator[Case]:
    """Every sample, and what the services may send beside them."""
    for name in sample_texts():
        event = sample(stack, name)
        yield name, event, MATCHES.get(name)
        if name in MATCHES:
            yield from strangers(name, event)
    yield from states(stack)
    yield from tag_keys(stack)
    yield from uploads(stack)


def strangers(name: str, event: dict[str, Any]) -> Iterator[Case]:
    """The same event from elsewhere or of something else: everybody may put events of a source of their own."""
    for key in ("source", "detail-type"):
        yield f"{name} of another {key}", event | {key: "another"}, None


def states(stack: Stack) -> Iterator[Case]:
    """All that instances and commands can be in, and what nobody knows yet: that says "look again", too."""
    known = {*shape("ec2", "InstanceStateName"), "hibernated"}
    for state in sorted(known):
        rule = None if state == "pending" else "InstanceStateRule"
        yield changed(stack, "ec2-instance-state-running", rule, state=state)
    for status in sorted({*shape("ssm", "CommandStatus"), *UNDER_WAY, "Undeliverable"}):
        rule = None if status in UNDER_WAY else "CommandRule"
        yield changed(stack, "ssm-command-success", rule, status=status)
    foreign = {"document-name": "AWS-RunPatchBaseline"}
    yield changed(stack, "ssm-command-success", None, **foreign)


@cache
def shape(service: str, name: str) -> list[str]:
    """The values that the service's API knows."""
    found: Any = get_session().get_service_model(service).shape_for(name)
    return list(found.enum)


def tag_keys(stack: Stack) -> Iterator[Case]:
    """Each of our keys, alone and among others; of instances and of nothing else."""
    name, rule = "tag-change-unrelated", "InstanceTagRule"
    ours = [stack.parameters["EnvironmentTagKey"], stack.parameters["TypeTagKey"]]
    for key in [*ours, *OPTIONS]:
        for keys in ([key], ["Owner", key]):
            yield changed(stack, name, rule, **{"changed-tag-keys": keys})
    for key, value in {"service": "rds", "resource-type": "volume"}.items():
        both = {"changed-tag-keys": ours, key: value}
        yield changed(stack, name, None, **both)


def uploads(stack: Stack) -> Iterator[Case]:
    """Of this environment and into this bucket."""
    name, bucket = "s3-template-uploaded", stack.text("${ConfigBucket}")
    environment = stack.parameters["Environment"]
    for key, rule in {
        f"templates/{environment}/conf.d/site.cfg.j2": "UploadRule",
        f"vars/{environment}.yml": "UploadRule",
        f"vars/{environment}.yml.bak": None,
        f"templates/{environment}-2/haproxy.cfg.j2": None,
        f"vars/{environment}-2.yml": None,
        f"state/{environment}.json": None,
    }.items():
        yield changed(stack, name, rule, bucket={"name": bucket}, object={"key": key})
    yield changed(stack, name, None, bucket={"name": "somebody-elses"})


def changed(stack: Stack, name: str, rule: str | None, **detail: Any) -> Case:
    """A sample with another detail."""
    event = sample(stack, name)
    event["detail"] |= detail
    return f"{name} with {detail}", event, rule
