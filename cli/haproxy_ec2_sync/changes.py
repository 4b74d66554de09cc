"""What a publication changes, in the answers of `plan` and `diff`, as frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from haproxy_ec2_sync.answers import (
    SIGNS,
    Drain,
    Fields,
    Names,
    Origins,
    draining,
    failure,
    names,
    origins,
)
from haproxy_ec2_sync.text import lines, plain


@dataclass(frozen=True, slots=True)
class Keyword:
    """A keyword of a server: None where it is absent, empty where it stands alone, else its value."""

    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Server:
    """A server that appears, vanishes or changes, with what differs but its address."""

    place: str  # section and name
    address: str
    instance_id: str
    keywords: tuple[Keyword, ...]


@dataclass(frozen=True, slots=True)
class Diff:
    """What changes in one config, and in whose; by sign."""

    proxies: tuple[str, ...]
    servers: Mapping[str, tuple[Server, ...]]
    left_out: Mapping[str, int]
    other: tuple[str, ...]
    other_left_out: int


@dataclass(frozen=True, slots=True)
class Changes:
    """All diffs, and how many servers are added, changed and removed."""

    diffs: tuple[Diff, ...]
    totals: Mapping[str, int]
    names: Names


@dataclass(frozen=True, slots=True)
class Plan:
    """The answer of `plan`."""

    is_change: bool
    changes: Changes
    servers: Mapping[str, tuple[str, ...]]  # instance ids by sign
    rolling_out: tuple[str, ...]
    verdict: str
    hold_ends: str
    error: str  # why nobody knows what would change
    origins: Origins
    skipped: tuple[str, ...]
    draining: tuple[Drain, ...]
    warnings: tuple[str, ...]


def changes(answer: Any) -> Changes:
    """Of `plan` or `diff`."""
    fields = Fields.of(answer)
    diffs = _diffs(fields)
    return Changes(diffs, _totals(fields, diffs), names(fields))


def _diffs(answer: Fields) -> tuple[Diff, ...]:
    addresses = {key: each.text("address") for key, each in answer.items("instances")}
    return tuple(_diff(diff, addresses) for diff in answer.many("diff"))


def _totals(answer: Fields, diffs: tuple[Diff, ...]) -> Mapping[str, int]:
    """While nothing renders the function knows the instances, but no lines."""
    if diffs:
        return {sign: _total(sign, diffs) for sign in SIGNS}
    return {sign: len(ids) for sign, ids in _instances(answer).items()}


def _instances(answer: Fields) -> dict[str, tuple[str, ...]]:
    servers = answer.fields("servers")
    return {sign: servers.texts(kind) for sign, kind in SIGNS.items()}


def _total(sign: str, diffs: tuple[Diff, ...]) -> int:
    """A server in the configs of several proxies counts once."""
    places = {server.place for diff in diffs for server in diff.servers[sign]}
    each = [len(diff.servers[sign]) + diff.left_out[sign] for diff in diffs]
    return max(len(places), *each)


def _diff(diff: Fields, addresses: Mapping[str, str]) -> Diff:
    left_out = diff.fields("more")
    servers = {
        sign: tuple(_server(server, addresses) for server in diff.many(kind))
        for sign, kind in SIGNS.items()
    }
    return Diff(
        proxies=diff.texts("proxies"),
        servers=servers,
        left_out={sign: left_out.count(kind) for sign, kind in SIGNS.items()},
        other=lines(str(diff.values.get("other") or "").rstrip("\n")),
        other_left_out=left_out.count("other"),
    )


def _server(server: Fields, addresses: Mapping[str, str]) -> Server:
    section = server.text("section").removeprefix("backend ")
    differing = server.fields("changes")
    moved = filter(None, differing.pair("address"))
    instance_id = server.text("instance_id")
    return Server(
        place=f"{section}/{server.text('name')}",
        # Of a server that keeps its address the answer says it elsewhere.
        address=" -> ".join(moved) or addresses.get(instance_id, ""),
        instance_id=instance_id,
        keywords=tuple(
            Keyword(plain(name), *differing.pair(name))
            for name in sorted(differing.values.keys() - {"address"})
        ),
    )


def plan(answer: Any) -> Plan:
    """Parse it."""
    fields = Fields.of(answer)
    known = names(fields)
    return Plan(
        is_change=fields.values.get("changes") is True,
        changes=changes(answer),
        servers=_instances(fields),
        rolling_out=fields.texts("rolling_out"),
        verdict=known.told(fields.text("verdict")),
        hold_ends=fields.fields("hold").text("ends"),
        error=_error(fields),
        origins=origins(fields),
        skipped=tuple(_skipped(each, known) for each in fields.many("skipped")),
        draining=draining(fields),
        warnings=fields.texts("warnings"),
    )


def _error(plan: Fields) -> str:
    """A look that failed, or a template that does not render."""
    failed, error = failure(plan.fields("look_failure")), plan.text("template_error")
    if failed:
        return f"the plan's look failed: {failed}"
    return f"the template does not render: {error}" if error else ""


def _skipped(skipped: Fields, known: Names) -> str:
    """`edge-1: bad-port '80a'`."""
    name = known[skipped.text("instance_id")]
    return f"{name}: {skipped.text('reason')} {skipped.text('detail')}".rstrip()
