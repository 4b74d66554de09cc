"""The function: can it run, is it fed, and may it do its work."""

from collections.abc import Sequence

from haproxy_ec2_sync.doctor.facts import EventSource, Function
from haproxy_ec2_sync.doctor.lines import DEPLOY, Line, judged, verdict, wrong
from haproxy_ec2_sync.text import count

STOPPED = ("Disabled", "Disabling")
READY = ("Active", "Inactive")  # an idle function wakes up by the next invoke
POLICIES = ("reconcile", "send-command", "lifecycle-actions")
"""Its role's own policies, as template.yaml has them."""

ERRONEOUS = 3
"""In so many spans of five minutes there are errors if they last; an operator's mistyped request is one, too."""


def state(function: Function) -> tuple[Line, ...]:
    """Lambda can start it."""
    reason = f" ({function.reason})" if function.reason else ""
    found = f"{function.name} is {function.state}, last update {function.update}"
    is_ready = function.state in READY and function.update == "Successful"
    advice = "wait while it is pending, else deploy again"
    return judged(is_ready, f"{found}{reason}", advice)


def concurrency(reserved: int | None) -> tuple[Line, ...]:
    """Lambda lets it start."""
    found = f"reserved for it: {'none, it shares the account' if reserved is None else reserved}"
    advice = "it never runs: see who stopped it and why, then aws lambda delete-function-concurrency"
    return judged(reserved != 0, found, advice)


def fed(sources: Sequence[EventSource], queue: str) -> tuple[Line, ...]:
    """Lambda brings it what the stack's queue has."""
    ours = [source for source in sources if source.queue == queue]
    if not ours:
        return (wrong(f"no event source brings it what {queue} has", DEPLOY),)
    problems = [
        wrong(f"the event source of {queue} is {source.state}", _mended(source))
        for source in ours
        if source.state != "Enabled"
    ]
    return verdict(problems, f"fed from {queue}")


def _mended(source: EventSource) -> str:
    """Creating, Enabling and Updating end by themselves."""
    if source.state not in STOPPED:
        return "wait a minute, then ask again"
    return f"aws lambda update-event-source-mapping --uuid {source.uuid} --enabled"


def errors(values: Sequence[float]) -> tuple[Line, ...]:
    """How often it ended with an error within the hour, by spans of five minutes."""
    found = f"{count(int(sum(values)), 'run')} within the last hour ended in errors"
    erroneous = [value for value in values if value]
    advice = "read its log: haproxy-ec2-sync logs --errors --since 1h"
    return judged(len(erroneous) < ERRONEOUS, found, advice)


def role(inline: Sequence[str]) -> tuple[Line, ...]:
    """Its role has what the template gives it."""
    problems = [
        wrong(f"the function's role lacks its policy {name}", DEPLOY)
        for name in POLICIES
        if name not in inline
    ]
    return verdict(problems, f"has its policies {', '.join(POLICIES)}")


def rights(denied: Sequence[str]) -> tuple[Line, ...]:
    """What IAM says that the role may not do."""
    advice = (
        "see its policies and its permissions boundary; "
        "an organization's policies can forbid more than this shows"
    )
    problems = [wrong(f"the function may not {action}", advice) for action in denied]
    return verdict(
        problems,
        "it may look, keep its state, send commands and complete lifecycle hooks",
    )
