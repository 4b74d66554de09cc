"""What the function itself says: when it looked, how all is, what its template gives, and who else publishes."""

from collections.abc import Mapping
from typing import Any

from haproxy_ec2_sync.doctor.facts import Document, failed
from haproxy_ec2_sync.doctor.lines import Line, judged, right, some, verdict, wrong

NOT_LOOKED = "not-looked"
"""The cause of the function's own condition: it alone knows how often it has to look."""

ELSEWHERE = "uploads-elsewhere"
"""The cause of the condition that has the words for what to do."""

COPY = "copy them to the bucket of this stack, as README says"


def look(status: Mapping[str, Any], now: float) -> tuple[Line, ...]:
    """It looked a short while ago, and well."""
    looked_at = status["looked_at"]
    if looked_at is None:
        advice = "see rules, event-source and errors; haproxy-ec2-sync sync looks now"
        return (wrong("it has never looked", advice),)
    seconds = max(0.0, now - looked_at)
    found = f"the last look was {seconds:.0f} s ago"
    problems = []
    if NOT_LOOKED in {each["cause"] for each in status["conditions"]}:
        problems.append(wrong(found, "see rules, event-source and errors"))
    if status["look_failure"]:
        words = failed(status["look_failure"])
        problems.append(wrong(f"looks fail: {words}", "see role and rights"))
    return verdict(problems, found)


def sends(status: Mapping[str, Any]) -> tuple[Line, ...]:
    """SSM takes its commands."""
    failure = status["send_failure"]
    found = f"sending fails: {failed(failure)}" if failure else "SSM takes its commands"
    return judged(not failure, found, "see role, rights and document")


def health(status: Mapping[str, Any]) -> tuple[Line, ...]:
    """The headline."""
    if "headline" not in status:
        return (
            wrong("the function is of a release that tells no health", "see release"),
        )
    if status["health"] == "healthy":
        return (right(status["headline"]),)
    worst: Mapping[str, Any] = next(iter(status["conditions"]), {})
    advice = " ".join(filter(None, [worst.get("advice"), _where(worst)]))
    return (wrong(status["headline"], advice or "haproxy-ec2-sync status"),)


def _where(condition: Mapping[str, Any]) -> str:
    runbook = condition.get("runbook")
    return f"({runbook})" if runbook else ""


def template(plan: Mapping[str, Any]) -> tuple[Line, ...]:
    """It renders, and where it comes from."""
    template, variables = plan["template"]["origin"], plan["variables"]["origin"]
    found = f"template {template}, variables {variables or 'none'}"
    if plan["template_error"]:
        advice = f"correct it and upload it again ({found}); make template-test shows it here"
        return (wrong(plan["template_error"], advice),)
    return (right(found),)


def document(found: Document, status: Mapping[str, Any]) -> tuple[Line, ...]:
    """Its newest version can be run, and takes what the function brings."""
    problems = []
    if found.status != "Active":
        reason = f" ({found.reason})" if found.reason else ""
        detail = f"version {found.version} of {found.name} is {found.status}{reason}"
        problems.append(wrong(detail, "wait while it is updated, else deploy again"))
    refused = status["document"] or {}
    since = refused.get("refused_since_iso")
    if since:
        why = refused.get("refusal") or "it names another program than the function"
        detail = f"since {since} it takes no command: {why}"
        problems.append(
            wrong(detail, "wait for the end of a deploy, else deploy again")
        )
    return verdict(problems, f"version {found.version} of {found.name} is Active")


def earlier_uploads(status: Mapping[str, Any]) -> tuple[Line, ...]:
    """Nobody's template is left behind in the bucket of an earlier stack, before anything is published."""
    places = status.get("earlier_uploads") or ()
    advice = _condition(status, ELSEWHERE).get("advice") or COPY
    return judged(
        not places,
        f"uploads of an earlier stack: {some(places) or 'none'}",
        f"{advice}, unless they are of no use any more",
    )


def _condition(status: Mapping[str, Any], cause: str) -> Mapping[str, Any]:
    """What the function says of this cause; empty where it says nothing."""
    found = (each for each in status["conditions"] if each.get("cause") == cause)
    return next(found, {})


def publishers(status: Mapping[str, Any]) -> tuple[Line, ...]:
    """No other stack publishes to these proxies."""
    others = {
        stack: owned["instances"]
        for stack, owned in status["publishers"].items()
        if not owned["ours"]
    } | status["other_publishers"]
    problems = [
        wrong(
            f"{stack} publishes to {some(instances)}, too",
            "delete it, or take its proxies: haproxy-ec2-sync unfreeze --adopt",
        )
        for stack, instances in others.items()
    ]
    return verdict(problems, "no other stack publishes to these proxies")
