"""What proxies said of a candidate, in the answers of `check`, as frozen values."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from haproxy_ec2_sync.answers import Fields
from haproxy_ec2_sync.errors import Failed
from haproxy_ec2_sync.function import Answer
from haproxy_ec2_sync.text import lines

SAME, DIFFERS, REFUSED, AWAITED = "same", "differs", "refused", "awaited"
RESULTS = (SAME, DIFFERS, REFUSED, "failed", AWAITED, "unreachable")
"""From the best to the worst."""


@dataclass(frozen=True, slots=True)
class Row:
    """One proxy; `live`, `candidate` and `running` are MD5s."""

    instance_id: str
    name: str
    address: str
    zone: str
    result: str
    reason: str
    detail: str
    live: str
    candidate: str
    running: str
    method: str
    diff: tuple[str, ...]
    hidden: int
    """Lines of the diff that are not among them."""
    haproxy: str
    haproxy_version: str
    style: str
    agent_version: str
    publisher: str
    unsafe_keywords: tuple[str, ...]
    """Of its live file, as the parameter AllowUnsafeKeywords takes them."""
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Check:
    """The answer of a check that was begun."""

    rows: tuple[Row, ...]

    @property
    def unsafe_keywords(self) -> tuple[str, ...]:
        """Those of all live files."""
        return tuple(sorted({key for row in self.rows for key in row.unsafe_keywords}))

    def named(self, result: str) -> tuple[str, ...]:
        """The names of the proxies with this result."""
        return tuple(sorted(row.name for row in self.rows if row.result == result))


def check(answer: Any) -> Check:
    """Parse it: the rows by result, then by name."""
    fields = Fields.of(answer)
    rows = [_row(key, row) for key, row in fields.items("proxies")]
    return Check(tuple(sorted(rows, key=_order)))


def _row(instance_id: str, fields: Fields) -> Row:
    diff = lines(str(fields.values.get("diff") or "").removesuffix("\n"))
    return Row(
        instance_id=instance_id,
        name=fields.text("name") or instance_id,
        address=fields.text("address"),
        zone=fields.text("zone"),
        result=fields.text("result"),
        reason=fields.text("reason"),
        detail=fields.text("detail"),
        live=fields.text("live"),
        candidate=fields.text("candidate"),
        running=fields.text("running"),
        method=fields.text("method"),
        diff=diff,
        hidden=max(0, fields.count("diff_lines") - len(diff)),
        haproxy=fields.text("haproxy"),
        haproxy_version=fields.text("haproxy_version"),
        style=fields.text("style"),
        agent_version=fields.text("agent_version"),
        publisher=fields.text("publisher"),
        unsafe_keywords=fields.texts("unsafe_keywords"),
        notes=fields.texts("notes"),
    )


def _order(row: Row) -> tuple[int, str, str]:
    ranks = {result: rank for rank, result in enumerate(RESULTS)}
    return ranks.get(row.result, len(RESULTS)), row.name, row.instance_id


def chosen(every: Check, wanted: Iterable[str]) -> tuple[str, ...]:
    """The ids of the proxies that somebody calls so, by name or id; `Failed` names those that there are."""
    by_name: dict[str, tuple[str, ...]] = {}
    for row in every.rows:
        by_name[row.instance_id] = (row.instance_id,)
        by_name[row.name] = (*by_name.get(row.name, ()), row.instance_id)
    ids: dict[str, None] = {}
    for name in wanted:
        if name not in by_name:
            known = ", ".join(f"{row.name} ({row.instance_id})" for row in every.rows)
            raise Failed(f"no proxy is called {name!r}; there are: {known}")
        ids |= dict.fromkeys(by_name[name])
    return tuple(ids)


def merged(answers: Iterable[Answer]) -> Answer:
    """One answer from those for single proxies."""
    first, *others = answers
    whole = dict(first)
    for other in others:
        whole["proxies"] = whole["proxies"] | other["proxies"]
        whole["instances"] = whole["instances"] | other["instances"]
        whole["done"] = whole["done"] and other["done"]
    return whole
