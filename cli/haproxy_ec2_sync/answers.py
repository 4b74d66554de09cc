"""Answers of the function as frozen values.

What an older release does not say is empty: a view shows less of it, and does not fail. Every text is `plain`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from haproxy_ec2_sync.text import listed, plain

INSTANCE_ID = re.compile(r"\bi-[0-9a-f]{8,17}\b")
FEW = 3
"""Proxies that a line about something else names."""


@dataclass(frozen=True, slots=True)
class Fields:
    """One JSON object of an answer; what is missing, or of another kind than expected, is empty."""

    values: Mapping[str, Any]

    @classmethod
    def of(cls, value: Any) -> "Fields":
        """Empty where the value is no object."""
        return cls(value if isinstance(value, dict) else {})

    def text(self, name: str) -> str:
        """Empty for null, too."""
        return _text(self.values.get(name))

    def texts(self, name: str) -> tuple[str, ...]:
        """Of a list."""
        return tuple(map(_text, self._list(name)))

    def number(self, name: str) -> float | None:
        """None for null, too."""
        value = self.values.get(name)
        return value if _is_number(value) else None

    def count(self, name: str) -> int:
        """0 where nobody counted."""
        return int(self.number(name) or 0)

    def fields(self, name: str) -> "Fields":
        """One object."""
        return Fields.of(self.values.get(name))

    def many(self, name: str) -> tuple["Fields", ...]:
        """A list of objects."""
        return tuple(map(Fields.of, self._list(name)))

    def items(self, name: str) -> Iterator[tuple[str, "Fields"]]:
        """An object of objects; its keys may be anybody's text."""
        for key, value in self.fields(name).values.items():
            yield plain(key), Fields.of(value)

    def pair(self, name: str) -> tuple[str | None, str | None]:
        """What a keyword was and is: None where it is absent, empty where it stands alone."""
        before, after = [*self._list(name), None, None][:2]
        return _side(before), _side(after)

    def _list(self, name: str) -> list[Any]:
        value = self.values.get(name)
        return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return "" if value is None else plain(value)


def _side(value: Any) -> str | None:
    return None if value is None else _text(value if value is not True else "")


def _is_number(value: Any) -> bool:
    return type(value) in {int, float} and isfinite(value)


@dataclass(frozen=True, slots=True)
class Names:
    """What people call instances."""

    by_id: Mapping[str, str]

    def __getitem__(self, instance_id: str) -> str:
        """Its name; its id where it has none."""
        return self.by_id.get(instance_id) or instance_id

    def told(self, text: str) -> str:
        """The text with the name before each id that has one: `edge-1 (i-...)`."""
        return INSTANCE_ID.sub(self._with_name, text)

    def _with_name(self, found: re.Match[str]) -> str:
        name = self.by_id.get(found[0])
        return f"{name} ({found[0]})" if name else found[0]

    def listed(self, instance_ids: tuple[str, ...], limit: int = 20) -> str:
        """All of them, or so many and how many more there are."""
        return listed(sorted(map(self.__getitem__, instance_ids)), limit)


def names(answer: Fields) -> Names:
    """Of all instances that the answer knows."""
    instances = answer.items("instances")
    return Names({key: instance.text("name") for key, instance in instances})


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that an operator should know; times in unix seconds."""

    health: str
    what: str
    since: float | None
    next: str
    next_at: float | None
    advice: str
    runbook: str


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a template, or its variables, come from; a version is a digest. Empty where an older function says none."""

    kind: str
    version: str
    at: str  # when it was uploaded, ISO 8601


@dataclass(frozen=True, slots=True)
class Origins:
    """Where both come from, and the addresses of what somebody uploaded to an earlier stack of the same name."""

    template: Origin
    variables: Origin
    earlier_uploads: tuple[str, ...]


def origins(answer: Fields) -> Origins:
    """Of `plan`, `status` or the beginning of a check."""
    return Origins(
        _origin(answer.fields("template")),
        _origin(answer.fields("variables")),
        answer.texts("earlier_uploads"),
    )


def _origin(fields: Fields) -> Origin:
    return Origin(fields.text("origin"), fields.text("version"), fields.text("at_iso"))


@dataclass(frozen=True, slots=True)
class Servers:
    """How many servers of a backend a proxy sees up and down."""

    backend: str
    up: int
    down: int


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, by its host's own last word; times in unix seconds. Of many backends it has the worst."""

    instance_id: str
    name: str
    address: str
    zone: str
    sync: str
    health: str
    desired: str  # MD5s
    has: str
    haproxy: str
    haproxy_version: str
    style: str
    old_workers: int
    heard_at: float | None
    backends: tuple[Servers, ...]
    outcome: str
    reason: str
    notes: tuple[str, ...]
    window_ms: int
    at: float | None
    next: str
    next_at: float | None


@dataclass(frozen=True, slots=True)
class Drain:
    """A backend that drains, by name; None for connections that nobody counted."""

    name: str
    why: str
    since: float | None
    connections: float | None


@dataclass(frozen=True, slots=True)
class LifecycleAction:
    """What a lifecycle hook waits for, by names; times in unix seconds."""

    name: str
    hook: str
    joins: bool
    since: float | None
    ended_at: float | None
    result: str
    failure: str
    behind: str  # proxies
    unreachable: str


@dataclass(frozen=True, slots=True)
class Status:
    """The answer of `status`; times in unix seconds."""

    environment: str
    headline: str
    sync: str
    health: str
    conditions: tuple[Condition, ...]
    proxies: tuple[Proxy, ...]
    published: frozenset[str]  # MD5s of all configs that the history knows
    backends: int
    hold: Fields
    freeze: Fields
    template_error: str
    origins: Origins
    draining: tuple[Drain, ...]
    lifecycle_actions: tuple[LifecycleAction, ...]
    publication: "Publication | None"
    looked_at: float | None
    next_look_at: float | None


def status(answer: Any) -> Status:
    """Parse it."""
    fields = Fields.of(answer)
    publications = history(answer)
    instances = {key: each.values for key, each in fields.items("instances")}
    return Status(
        environment=fields.text("environment"),
        headline=fields.text("headline"),
        sync=fields.text("sync"),
        health=fields.text("health") or "unknown",
        conditions=tuple(map(_condition, fields.many("conditions"))),
        proxies=tuple(
            _proxy(key, Fields({**instances.get(key, {}), **_told(proxy)}))
            for key, proxy in fields.items("proxies")
        ),
        published=frozenset(_digests(fields.many("history"))),
        backends=len(fields.texts("backends")),
        hold=fields.fields("hold"),
        freeze=fields.fields("freeze"),
        template_error=fields.text("template_error"),
        origins=origins(fields),
        draining=draining(fields),
        lifecycle_actions=_lifecycle_actions(fields),
        publication=next(iter(publications), None),
        looked_at=fields.number("looked_at"),
        next_look_at=fields.number("next_look_at"),
    )


def _condition(fields: Fields) -> Condition:
    return Condition(
        health=fields.text("health"),
        what=fields.text("what"),
        since=fields.number("since"),
        next=fields.text("next"),
        next_at=fields.number("next_at"),
        advice=fields.text("advice"),
        runbook=fields.text("runbook"),
    )


def draining(answer: Fields) -> tuple[Drain, ...]:
    """Of `status` or `plan`, the oldest first."""
    known = names(answer)
    drains = (_drain(each, known) for each in answer.many("draining"))
    return tuple(sorted(drains, key=lambda each: each.since or 0.0))


def _drain(fields: Fields, known: Names) -> Drain:
    return Drain(
        name=known[fields.text("instance_id")],
        why=fields.text("why"),
        since=fields.number("since"),
        connections=fields.number("connections"),
    )


def _lifecycle_actions(answer: Fields) -> tuple[LifecycleAction, ...]:
    """Those that fail first, then the oldest."""
    known = names(answer)
    actions = (_action(each, known) for each in answer.many("lifecycle_actions"))
    return tuple(
        sorted(actions, key=lambda each: (not each.failure, each.since or 0.0))
    )


def _action(fields: Fields, known: Names) -> LifecycleAction:
    return LifecycleAction(
        name=known[fields.text("instance_id")],
        hook=fields.text("hook"),
        joins=fields.values.get("joins") is True,
        since=fields.number("since"),
        ended_at=fields.number("ended_at"),
        result=fields.text("result"),
        failure=failure(fields.fields("failure")),
        behind=known.listed(fields.texts("behind"), FEW),
        unreachable=known.listed(fields.texts("unreachable"), FEW),
    )


def failure(fields: Fields) -> str:
    """Operation, code and message of a call to AWS that failed; empty for none."""
    said = (fields.text(name) for name in ("operation", "code", "message"))
    return ": ".join(said) if fields.values else ""


def _told(proxy: Fields) -> dict[str, Any]:
    """What the answer says of it; the rest may stand with the other instances."""
    return {name: value for name, value in proxy.values.items() if value}


def _proxy(instance_id: str, fields: Fields) -> Proxy:
    return Proxy(
        instance_id=instance_id,
        name=fields.text("name") or instance_id,
        address=fields.text("address"),
        zone=fields.text("zone"),
        sync=fields.text("sync"),
        health=fields.text("health"),
        desired=fields.text("desired"),
        has=_has(fields),
        haproxy=fields.text("haproxy"),
        haproxy_version=fields.text("haproxy_version"),
        style=fields.text("style"),
        old_workers=fields.count("old_workers"),
        heard_at=fields.number("heard_at"),
        backends=tuple(_servers(fields)),
        outcome=fields.text("outcome"),
        reason=fields.text("reason"),
        notes=fields.texts("notes"),
        window_ms=fields.count("window_ms"),
        at=fields.number("at"),
        next=fields.text("next"),
        next_at=fields.number("next_at"),
    )


def _has(proxy: Fields) -> str:
    """The MD5 of the config that it runs, or has if it runs none, by its newest word; "" for unknown."""
    inspection = proxy.fields("inspection")
    is_newer = inspection.count("at") > proxy.count("at")
    # After a hand edit the file is another one than what still runs.
    inspected = inspection.text("installed") if is_newer else ""
    return inspected or proxy.text("running") or proxy.text("installed")


def _servers(proxy: Fields) -> Iterator[Servers]:
    for backend, servers in proxy.items("backends"):
        yield Servers(backend, servers.count("up"), servers.count("down"))


def _digests(history: tuple[Fields, ...]) -> Iterator[str]:
    """MD5s of every config of every publication."""
    for change in history:
        assignment = change.fields("assignment")
        yield assignment.fields("shared").text("md5")
        for _, digest in assignment.items("by_proxy"):
            yield digest.text("md5")


SIGNS = {"+": "added", "~": "changed", "-": "removed"}
"""Signs of changes, and their names in answers."""


@dataclass(frozen=True, slots=True)
class Publication:
    """An entry of the history."""

    generation: int
    at: float | None
    why: str
    totals: Mapping[str, int]  # by sign
    lines: tuple[str, ...]


def history(answer: Any) -> tuple[Publication, ...]:
    """Of `status`, newest first."""
    fields = Fields.of(answer)
    known = names(fields)
    return tuple(_publication(each, known) for each in fields.many("history"))


def _publication(change: Fields, known: Names) -> Publication:
    return Publication(
        generation=change.count("generation"),
        at=change.number("at"),
        why=known.told(change.text("why")),
        totals={
            sign: len(change.texts(kind)) + change.count(f"more_{kind}")
            for sign, kind in SIGNS.items()
        },
        lines=change.texts("diff"),
    )
