"""The table of checks, and how they are run: each by itself, whatever becomes of the others."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from haproxy_ec2_sync.doctor import (
    answers,
    events,
    fences,
    fleet,
    function,
    groups,
    stack,
)
from haproxy_ec2_sync.doctor.account import CORE, Account, Unanswered, aws_policy
from haproxy_ec2_sync.doctor.facts import last
from haproxy_ec2_sync.doctor.lines import Line, right

POLICY = "docs/command-line.md has the policy"


@dataclass(frozen=True, slots=True)
class Check:
    """Asks an account, and judges. Where it is optional, an operator may do without the right to ask."""

    name: str
    judge: Callable[[Account], tuple[Line, ...]]
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """A line of a check. `is_right`: nothing here makes the whole wrong."""

    check: str
    line: Line
    is_right: bool


def run(account: Account) -> Iterator[Finding]:
    """Every check's lines, in the order of the table."""
    for check in CHECKS:
        for line in _judged(check, account):
            is_right = line.ok or (line.ok is None and check.is_optional)
            yield Finding(check.name, line, is_right)


def _judged(check: Check, account: Account) -> tuple[Line, ...]:
    try:
        return check.judge(account)
    except Unanswered as error:
        return (_unanswered(error),)
    except KeyError as error:
        # An answer of the function: AWS's own have what its model promises.
        detail = f"not known: the function's answer has no {error}"
        return (Line(ok=None, detail=detail, advice="see release"),)


def _unanswered(error: Unanswered) -> Line:
    if error.is_refused:
        advice = f"ask for the right {error.action} ({POLICY})"
        return Line(ok=None, detail=f"you may not ask: {error}", advice=advice)
    if error.is_absent:
        advice = (
            "see --env, --stack-name and --region; if somebody deleted it, deploy again"
        )
        return Line(ok=False, detail=str(error), advice=advice)
    return Line(ok=None, detail=f"not known: {error}", advice="ask again in a minute")


def _queue(account: Account) -> str:
    return last(account.output("QueueUrl"))


def _errors(account: Account) -> tuple[Line, ...]:
    name = account.output("FunctionName")
    return function.errors(
        account.metric("AWS/Lambda", "Errors", "Sum", FunctionName=name)
    )


def _queue_age(account: Account) -> tuple[Line, ...]:
    metric = "ApproximateAgeOfOldestMessage"
    return events.queue_age(
        account.metric("AWS/SQS", metric, "Maximum", QueueName=_queue(account))
    )


def _configs(account: Account) -> tuple[Line, ...]:
    role, named = account.function.role_arn, account.stack.listed("BreakGlass")
    return fences.configs(account.bucket_policy, role, named)


def _templates(account: Account) -> tuple[Line, ...]:
    writers, named = map(account.stack.listed, ("TemplateWriters", "BreakGlass"))
    return fences.templates(account.bucket_policy, writers, named)


def _state(account: Account) -> tuple[Line, ...]:
    rate = account.function.variables.get("SWEEP_RATE", "")
    return events.state(account.state_key, account.state_at, time.time(), rate)


def _rights(account: Account) -> tuple[Line, ...]:
    """One right for each kind of work, on what the stack has."""
    bucket, document = account.output("BucketName"), account.output("DocumentName")
    role_arn = account.function.role_arn
    _, partition, _, _, number, *_ = role_arn.split(":")
    region = account.stack.region
    groups = f"arn:{partition}:autoscaling:{region}:{number}:autoScalingGroup:*:autoScalingGroupName/*"
    asked = {
        "autoscaling:CompleteLifecycleAction": groups,
        "ec2:DescribeInstances": "*",
        "s3:GetObject": f"arn:{partition}:s3:::{bucket}/{account.state_key}",
        "ssm:SendCommand": f"arn:{partition}:ssm:{region}:{number}:document/{document}",
    }
    return function.rights([
        f"{action} on {resource}"
        for action, resource in asked.items()
        if account.denied(role_arn, action, resource)
    ])  # fmt: skip


def _tags(account: Account) -> tuple[Line, ...]:
    environment = account.variable("ENVIRONMENT")
    key = account.variable("TYPE_TAG_KEY")
    wanted = fleet.Tags(
        f"{account.variable('ENVIRONMENT_TAG_KEY')}={environment}",
        f"{key}={account.variable('BACKEND_TAG_VALUE')}",
        f"{key}={account.variable('PROXY_TAG_VALUE')}",
    )
    return fleet.tags(account.status, wanted)


def _profiles(account: Account) -> tuple[Line, ...]:
    offline = frozenset(proxy.instance_id for proxy in account.offline)
    core = aws_policy(account.function.role_arn, CORE)
    policies = (account.output("ProxyPolicyArn"), core)
    has_all = all(proxy.profile for proxy in account.proxies)
    proven = frozenset() if has_all else fleet.proven(account.status)
    return fleet.profiles(account.proxies, account.profiles, offline, policies, proven)


def _endpoints(account: Account) -> tuple[Line, ...]:
    offline = account.offline
    tables = account.route_tables if offline else ()
    found = account.endpoints if offline else ()
    owner = account.function.role_arn.split(":")[4]
    return fleet.endpoints(offline, account.agents, tables, found, owner)


def _hooks(account: Account) -> tuple[Line, ...]:
    found = account.groups
    ours = groups.Ours(
        # Only a function that looks at groups has it.
        account.variable("LIFECYCLE_HOOK_PREFIX") if found else "",
        account.variable("ENVIRONMENT_TAG_KEY"),
        account.variable("ENVIRONMENT"),
        account.function.variables.get("SWEEP_RATE", ""),
    )
    return groups.hooks(found, ours)


CHECKS = (
    Check("stack", lambda asked: stack.deployed(asked.stack)),
    Check("outputs", lambda asked: stack.outputs(asked.stack)),
    Check("function", lambda asked: function.state(asked.function)),
    Check("concurrency", lambda asked: function.concurrency(asked.reserved)),
    Check(
        "event-source",
        lambda asked: function.fed(asked.event_sources, _queue(asked)),
    ),
    Check("errors", _errors, is_optional=True),
    Check("role", lambda asked: function.role(asked.inline_policies)),
    Check("rights", _rights, is_optional=True),
    Check("rules", lambda asked: events.rules(asked.rules, _queue(asked))),
    Check("queue", lambda asked: events.queue(asked.queue)),
    Check("queue-age", _queue_age, is_optional=True),
    Check("queue-policy", lambda asked: events.policy(asked.queue, asked.rules)),
    Check("dead-letters", lambda asked: events.dead_letters(asked.dead_letters)),
    Check("bucket", lambda asked: (right(f"{asked.bucket} can be reached"),)),
    Check(
        "bucket-events",
        lambda asked: events.notifications(sends_events=asked.sends_events),
    ),
    Check("bucket-versions", lambda asked: events.versioning(asked.versioning)),
    Check("bucket-policy", _configs, is_optional=True),
    Check("template-writers", _templates, is_optional=True),
    Check("state", _state),
    Check("release", lambda asked: stack.release(asked.status)),
    Check("look", lambda asked: answers.look(asked.status, time.time())),
    Check("sends", lambda asked: answers.sends(asked.status)),
    Check("health", lambda asked: answers.health(asked.status)),
    Check("tags", _tags),
    Check("agents", lambda asked: fleet.agents(asked.proxies, asked.agents)),
    Check("agent-versions", lambda asked: fleet.versions(asked.plan)),
    Check("instance-profiles", _profiles),
    Check("endpoints", _endpoints),
    Check("lifecycle-hooks", _hooks),
    Check("template", lambda asked: answers.template(asked.plan)),
    Check("earlier-uploads", lambda asked: answers.earlier_uploads(asked.status)),
    Check("document", lambda asked: answers.document(asked.document, asked.status)),
    Check("publishers", lambda asked: answers.publishers(asked.status)),
)
"""In the order in which they are read: what stands first breaks what follows."""
