"""The fleet: who is found by tags, whom commands reach, and why not."""

import re
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
from haproxy_ec2_sync.doctor.lines import (
    Line,
    by_trouble,
    right,
    some,
    verdict,
    wrong,
)
from haproxy_ec2_sync.text import count

OFFLINE = ("agent-not-registered", "agent-offline")
"""Findings of `status` that are asked of SSM itself."""

ONLINE = "Online"
UNREGISTERED = Agent("not registered with SSM", "")
RESTART = "restart amazon-ssm-agent there; see endpoints"
ADVICE = {
    UNREGISTERED.ping: "see instance-profiles and endpoints; then restart amazon-ssm-agent there",
}

LEFT_OUT = {
    "no-address": "give its network interface a private address, or remove its tags",
    "foreign-subnet": "deploy with its subnet in BackendSubnets, or remove its tags",
    "address-reused": "remove its tags, unless it is on its way out",
}
"""What to do with whom a look left out for another reason than a tag."""

SERVICES = ("ssm", "ssmmessages", "s3")
OLD_SERVICES = (*SERVICES, "ec2messages")
# The release notes of 3.3.40.0 (aws/amazon-ssm-agent): since then it does without ec2messages.
MESSAGES_SINCE = (3, 3, 40)
NEW = Agent("", "3.3.40.0")
"""What is taken of an agent that nobody knows."""


@dataclass(frozen=True, slots=True)
class Tags:
    """The tags that the stack looks for."""

    environment: str
    backend: str
    proxy: str


def tags(status: Mapping[str, Any], wanted: Tags) -> tuple[Line, ...]:
    """Backends and proxies are found, and nobody's tags are mistyped."""
    problems = [*_nobody(status, wanted), *_skipped(status)]
    backends, proxies = len(status["backends"]), len(status["proxies"])
    fine = f"{count(backends, 'backend')} and {count(proxies, 'proxy')} found"
    return verdict(problems, fine)


def _nobody(status: Mapping[str, Any], wanted: Tags) -> Iterator[Line]:
    for role, tag in (("backends", wanted.backend), ("proxies", wanted.proxy)):
        if not status[role]:
            advice = f"tag running instances {wanted.environment} and {tag}"
            yield wrong(f"no {role} found", advice)


def _skipped(status: Mapping[str, Any]) -> Iterator[Line]:
    """Instances, or options of theirs, that a look left out, and near misses."""
    for skipped in status["skipped"]:
        name = _named(status, skipped["instance_id"])
        detail = f"{name}: {skipped['reason']} {skipped['detail']}".rstrip()
        yield wrong(detail, LEFT_OUT.get(skipped["reason"], "correct the tag"))


def _named(status: Mapping[str, Any], instance_id: str) -> str:
    """Name and id, as far as the answer has names."""
    name = status.get("instances", {}).get(instance_id, {}).get("name")
    return f"{name} ({instance_id})" if name else instance_id


def agents(proxies: Sequence[Proxy], found: Mapping[str, Agent]) -> tuple[Line, ...]:
    """Every proxy's agent is registered and online."""
    pings = [found.get(proxy.instance_id, UNREGISTERED).ping for proxy in proxies]
    troubled = [
        (ping, ADVICE.get(ping, RESTART), proxy)
        for ping, proxy in zip(pings, proxies, strict=True)
        if ping != ONLINE
    ]
    fine = f"{count(len(proxies), 'agent')} online"
    return verdict(by_trouble(troubled), fine)


def versions(plan: Mapping[str, Any]) -> tuple[Line, ...]:
    """Every agent is new enough, by the function's own judgement: a plan asks about all of them now."""
    said = plan["agents"]
    problems = by_trouble(
        (each["finding"], each["advice"], _versioned(plan, each))
        for each in said["findings"]
        if each["finding"] not in OFFLINE
    )
    if said["failure"]:
        detail = f"the function cannot ask SSM: {failed(said['failure'])}"
        problems.append(wrong(detail, "see role and rights"))
    return verdict(problems, "none is too old")


def _versioned(status: Mapping[str, Any], agent: Mapping[str, Any]) -> str:
    """Whose agent, and its version."""
    named = _named(status, agent["instance_id"])
    return f"{named} {agent['version']}"


def proven(status: Mapping[str, Any]) -> frozenset[str]:
    """The proxies that have what is published: every command downloads."""
    found = status["proxies"].items()
    return frozenset(key for key, proxy in found if proxy.get("sync") == "synced")


def profiles(
    proxies: Sequence[Proxy],
    found: Mapping[str, Profile],
    offline: frozenset[str],
    policies: tuple[str, str],
    proven: frozenset[str],
) -> tuple[Line, ...]:
    """Every proxy may download, and register where it has not; `policies` let it do the one and the other.

    Who has no instance profile may have a role from SSM (Default Host Management): `proven` have one that is enough.
    """
    lacking = [
        (*lack, proxy)
        for proxy in proxies
        for lack in _lacks(
            found.get(proxy.profile),
            policies,
            is_offline=proxy.instance_id in offline,
        )
        if proxy.profile or proxy.instance_id not in proven
    ]
    fine = f"{count(len(found), 'instance profile')}, each with the rights of a proxy"
    return verdict(by_trouble(lacking), fine)


def _lacks(
    profile: Profile | None, policies: tuple[str, str], *, is_offline: bool
) -> Iterator[tuple[str, str]]:
    policy, core = policies
    if profile is None:
        yield "no instance profile", f"attach one whose role has {policy}"
        return
    if not profile.role:
        yield f"instance profile {profile.name} has no role", "add one"
        return
    attach = f"aws iam attach-role-policy --role-name {profile.role} --policy-arn"
    if not profile.may_download:
        yield f"role {profile.role} lacks the stack's policy", f"{attach} {policy}"
    # Who is online has registered by whatever right.
    if is_offline and not profile.may_register:
        yield f"role {profile.role} lacks {core.rpartition('/')[2]}", f"{attach} {core}"


def endpoints(
    offline: Sequence[Proxy],
    agents_known: Mapping[str, Agent],
    tables: Sequence[RouteTable],
    found: Sequence[Endpoint],
    owner: str,
) -> tuple[Line, ...]:
    """Who is offline has a way to SSM and S3: the internet, or VPC endpoints. Of its VPC the owner alone sees all."""
    if not offline:
        return (right("every agent is online"),)
    ours = [table for table in tables if table.owner == owner]
    hidden = [proxy for proxy in offline if not _tables(proxy, ours)]
    unseen = [_unseen([*map(str, hidden)])] if hidden else []
    seen = [proxy for proxy in offline if proxy not in hidden]
    return (*unseen, *(_ways(seen, agents_known, ours, found) if seen else ()))


def _unseen(names: Sequence[str]) -> Line:
    detail = f"not known: in a VPC of another account: {some(names)}"
    advice = "ask its owner for a way to ssm, ssmmessages and s3, by a NAT gateway or endpoints"
    return Line(ok=None, detail=detail, advice=advice)


def _ways(
    offline: Sequence[Proxy],
    agents_known: Mapping[str, Agent],
    tables: Sequence[RouteTable],
    found: Sequence[Endpoint],
) -> tuple[Line, ...]:
    """Of those whose route table is known."""
    cut_off = [
        (*_cut_off(table, missing, proxy.subnet), proxy)
        for proxy in offline
        for table in _tables(proxy, tables)
        if (missing := _missing(proxy, table, found, agents_known))
    ]
    fine = (
        "nothing is missing in the route tables and endpoints of those offline: see the agent's log, "
        "/var/log/amazon/ssm/errors.log, and security groups"
    )
    return verdict(by_trouble(cut_off), fine)


def _cut_off(table: RouteTable, missing: Sequence[str], subnet: str) -> tuple[str, str]:
    """What is wrong, and what to do."""
    advice = (
        "a NAT gateway, or endpoints in its VPC: interface for ssm and ssmmessages "
        f"(private DNS on, port 443 open), gateway for s3 in {table.table_id}"
    )
    detail = f"{subnet} ({table.table_id}) has no way to {', '.join(missing)}"
    return detail, advice


def _tables(proxy: Proxy, tables: Sequence[RouteTable]) -> list[RouteTable]:
    """That of its subnet, else its VPC's main one; none where nobody knows it."""
    own = [table for table in tables if proxy.subnet in table.subnets]
    main = [table for table in tables if table.is_main and table.vpc == proxy.vpc]
    return (own + main)[:1]


def _missing(
    proxy: Proxy,
    table: RouteTable,
    found: Sequence[Endpoint],
    agents_known: Mapping[str, Agent],
) -> tuple[str, ...]:
    """The services that the proxy does not reach."""
    if _reaches_internet(proxy, table):
        return ()
    agent = agents_known.get(proxy.instance_id, NEW)
    served = {each.service for each in found if each.serves(table)}
    return tuple(name for name in _needed(agent) if name not in served)


def _reaches_internet(proxy: Proxy, table: RouteTable) -> bool:
    """An internet gateway serves who has a public address; where others lead, nobody knows from here."""
    return any(
        proxy.has_public_address or not way.startswith("igw-") for way in table.ways
    )


def _needed(agent: Agent) -> tuple[str, ...]:
    numbers = tuple(map(int, re.findall(r"\d+", agent.version)))
    return OLD_SERVICES if numbers < MESSAGES_SINCE else SERVICES
