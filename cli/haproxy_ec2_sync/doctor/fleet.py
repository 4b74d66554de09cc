"""The fleet: who is found by tags, whom commands reach, and why not."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from haproxy_ec2_sync.doctor.facts import (
    Agent,
    Endpoint,
    Profile,
    Proxy,
    RouteTable,
    failed,
)
from haproxy_ec2_sync.doctor.lines import Line, count, right, some, verdict, wrong

NEAR_MISS = "near-miss"
CORE = ":policy/AmazonSSMManagedInstanceCore"
OFFLINE = ("agent-not-registered", "agent-offline")
"""Findings of `status` that are asked of SSM itself."""

UNREGISTERED = Agent("not registered with SSM", "")
ADVICE = {
    True: "see instance-profiles and endpoints; then restart amazon-ssm-agent there",
    False: "restart amazon-ssm-agent there; see endpoints",
}

# The release notes of 3.3.40.0 (aws/amazon-ssm-agent): since then it does without ec2messages.
MESSAGES_SINCE = (3, 3, 40)


@dataclass(frozen=True, slots=True)
class Tags:
    """The tags that the stack looks for."""

    environment: str
    backend: str
    proxy: str


def tags(status: Mapping[str, Any], wanted: Tags) -> tuple[Line, ...]:
    """Backends and proxies are found, and nobody's tags are mistyped."""
    problems = [*_nobody(status, wanted), *_near_misses(status)]
    backends, proxies = len(status["backends"]), len(status["proxies"])
    fine = f"{count(backends, 'backend')} and {count(proxies, 'proxy')} found"
    return verdict(problems, fine)


def _nobody(status: Mapping[str, Any], wanted: Tags) -> Iterator[Line]:
    for role, tag in (("backends", wanted.backend), ("proxies", wanted.proxy)):
        if not status[role]:
            advice = f"tag running instances {wanted.environment} and {tag}"
            yield wrong(f"no {role} found", advice)


def _near_misses(status: Mapping[str, Any]) -> Iterator[Line]:
    for skipped in status["skipped"]:
        name = _named(status, skipped["instance_id"])
        detail = f"{name}: {skipped['reason']} {skipped['detail']}".rstrip()
        is_typing = skipped["reason"] == NEAR_MISS
        advice = "correct the tag" if is_typing else "see docs/runbook.md, skipped"
        yield wrong(detail, advice)


def _named(status: Mapping[str, Any], instance_id: str) -> str:
    """Name and id, as far as the answer has names."""
    name = status.get("instances", {}).get(instance_id, {}).get("name")
    return f"{name} ({instance_id})" if name else instance_id


def agents(proxies: Sequence[Proxy], found: Mapping[str, Agent]) -> tuple[Line, ...]:
    """Every proxy's agent is registered and online."""
    if not proxies:
        return (right("there is no proxy to reach"),)
    by_ping = defaultdict(list)
    for each in proxies:
        by_ping[found.get(each.instance_id, UNREGISTERED).ping].append(str(each))
    online = by_ping.pop("Online", [])
    problems = [
        wrong(f"{len(names)} {ping}: {some(names)}", ADVICE[ping == UNREGISTERED.ping])
        for ping, names in by_ping.items()
    ]
    return verdict(problems, f"{count(len(online), 'agent')} online")


def versions(status: Mapping[str, Any]) -> tuple[Line, ...]:
    """Every agent is new enough, by the function's own judgement."""
    said = status["agents"]
    by_finding = defaultdict(list)
    for each in said["findings"]:
        if each["finding"] not in OFFLINE:
            by_finding[each["finding"], each["advice"]].append(
                f"{_named(status, each['instance_id'])} {each.get('version', '')}".strip()
            )
    problems = [
        wrong(f"{finding}: {some(names)}", advice)
        for (finding, advice), names in by_finding.items()
    ]
    if said["failure"]:
        detail = f"the function cannot ask SSM: {failed(said['failure'])}"
        problems.append(wrong(detail, "see role and rights"))
    return verdict(problems, "none is too old")


def profiles(
    proxies: Sequence[Proxy],
    found: Mapping[str, Profile],
    offline: frozenset[str],
    policy: str,
) -> tuple[Line, ...]:
    """Every proxy has a role that may download, and register where it has not."""
    lacking = defaultdict(list)
    for proxy in proxies:
        is_offline = proxy.instance_id in offline
        for lack in _lacks(found.get(proxy.profile), policy, is_offline=is_offline):
            lacking[lack].append(str(proxy))
    problems = [
        wrong(f"{detail}: {some(names)}", advice)
        for (detail, advice), names in lacking.items()
    ]
    return verdict(
        problems,
        f"{count(len(found), 'instance profile')}, each with the stack's policy",
    )


def _lacks(
    profile: Profile | None, policy: str, *, is_offline: bool
) -> Iterator[tuple[str, str]]:
    if profile is None:
        yield "no instance profile", f"attach one whose role has {policy}"
        return
    if not profile.role:
        yield f"instance profile {profile.name} has no role", "add one"
        return
    attach = f"aws iam attach-role-policy --role-name {profile.role} --policy-arn"
    if policy not in profile.policies:
        yield f"role {profile.role} lacks the stack's policy", f"{attach} {policy}"
    # Who is online may register by another policy.
    if is_offline and not any(arn.endswith(CORE) for arn in profile.policies):
        partition = policy.split(":")[1]
        core = f"arn:{partition}:iam::aws{CORE}"
        yield f"role {profile.role} lacks {core.rpartition('/')[2]}", f"{attach} {core}"


def endpoints(
    offline: Sequence[Proxy],
    agents_known: Mapping[str, Agent],
    tables: Sequence[RouteTable],
    found: Sequence[Endpoint],
) -> tuple[Line, ...]:
    """Who is offline has a way to SSM and S3: the internet, or VPC endpoints."""
    cut_off = defaultdict(list)
    for proxy in offline:
        table = _table(proxy, tables)
        agent = agents_known.get(proxy.instance_id)
        if table and not _reaches_internet(proxy, table):
            missing = _missing(table, found, _needed(agent))
            cut_off[proxy.subnet, table.table_id, missing].append(str(proxy))
    problems = [
        wrong(
            f"{subnet} ({table}) has no way to {', '.join(missing)}: {some(names)}",
            "a NAT gateway, or endpoints in its VPC: interface for ssm and ssmmessages "
            f"(private DNS on, port 443 open), gateway for s3 in {table}",
        )
        for (subnet, table, missing), names in cut_off.items()
        if missing
    ]
    if offline:
        return verdict(
            problems,
            "each subnet of those offline has a way: see the agent's log, "
            "/var/log/amazon/ssm/errors.log, and security groups",
        )
    return (right("every agent is online"),)


def _table(proxy: Proxy, tables: Sequence[RouteTable]) -> RouteTable | None:
    """That of its subnet, else its VPC's main one."""
    own = [table for table in tables if proxy.subnet in table.subnets]
    main = [table for table in tables if table.is_main and table.vpc == proxy.vpc]
    return next(iter(own + main), None)


def _reaches_internet(proxy: Proxy, table: RouteTable) -> bool:
    """An internet gateway serves who has a public address; where others lead, nobody knows from here."""
    if table.way.startswith("igw-"):
        return proxy.has_public_address
    return bool(table.way)


def _needed(agent: Agent | None) -> tuple[str, ...]:
    services = ("ssm", "ssmmessages", "s3")
    numbers = agent.version.split(".")[:3] if agent else []
    is_old = bool(numbers) and _numbers(numbers) < MESSAGES_SINCE
    return (*services, "ec2messages") if is_old else services


def _numbers(texts: Sequence[str]) -> tuple[int, ...]:
    """Zeros for what is no number."""
    return tuple(int(text) if text.isdecimal() else 0 for text in texts)


def _missing(
    table: RouteTable, found: Sequence[Endpoint], services: Sequence[str]
) -> tuple[str, ...]:
    served = {each.service for each in found if each.serves(table)}
    return tuple(name for name in services if name not in served)
