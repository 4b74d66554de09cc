"""Two configs -> servers added, removed and changed, by section and instance; everything else as a unified diff."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import unified_diff
from typing import Any

from haproxy_sync.config.language import SERVER_KEYWORDS, Server, servers, words
from haproxy_sync.fleet.model import Backend

# Keywords of a server line that stand alone (HAProxy's configuration manual, 5.2); all others take a value.
FLAGS = frozenset({
    "agent-check", "allow-0rtt", "backup", "check", "check-send-proxy", "check-ssl", "check-via-socks4", "disabled",
    "enabled", "force-sslv3", "force-tlsv10", "force-tlsv11", "force-tlsv12", "force-tlsv13", "no-agent-check",
    "no-backup", "no-check", "no-check-ssl", "no-send-proxy", "no-send-proxy-v2", "no-ssl", "no-ssl-reuse",
    "no-sslv3", "no-tls-tickets", "no-tlsv10", "no-tlsv11", "no-tlsv12", "no-tlsv13", "no-verifyhost", "non-stick",
    "send-proxy", "send-proxy-v2", "send-proxy-v2-ssl", "send-proxy-v2-ssl-cn", "ssl", "ssl-reuse", "stick", "tfo",
    "tls-tickets",
})  # fmt: skip

type Keywords = Mapping[str, str | bool]


@dataclass(frozen=True, slots=True)
class ServerChange:
    """A server that appears, vanishes or changes. `before` and `after` hold only the keywords that differ."""

    section: str
    name: str
    instance_id: str | None
    before: Keywords
    after: Keywords

    def as_json(self) -> dict[str, Any]:
        """Every keyword that differs as `[before, after]`, `None` where it is absent."""
        keywords = sorted({*self.before, *self.after})
        changes = {keyword: [self.before.get(keyword), self.after.get(keyword)] for keyword in keywords}
        return {"section": self.section, "name": self.name, "instance_id": self.instance_id, "changes": changes}

    def words(self) -> str:
        """The keywords that differ: `weight 10` where only one side has it, `weight 10 -> 20` where both do."""
        keywords = sorted({*self.before, *self.after})
        return ", ".join(_words(keyword, self.before.get(keyword), self.after.get(keyword)) for keyword in keywords)


@dataclass(frozen=True, slots=True)
class ConfigDiff:
    """What installing the new config changes."""

    added: tuple[ServerChange, ...]
    removed: tuple[ServerChange, ...]
    changed: tuple[ServerChange, ...]
    other: tuple[str, ...]
    """Unified diff of all other lines."""

    def __bool__(self) -> bool:
        """Whether anything changes."""
        return bool(self.added or self.removed or self.changed or self.other)

    def as_json(self) -> dict[str, Any]:
        """For the answer of `plan`."""
        return {
            "added": [change.as_json() for change in self.added],
            "removed": [change.as_json() for change in self.removed],
            "changed": [change.as_json() for change in self.changed],
            "other": "\n".join(self.other),
        }

    def lines(self) -> Iterator[str]:
        """For history and log: a line per server, the changed keywords with old and new value, then the rest."""
        for sign, changes in (("+", self.added), ("-", self.removed), ("~", self.changed)):
            for change in changes:
                yield f"{sign} {change.section}/{change.name} ({change.instance_id or 'no instance'}) {change.words()}"
        yield from self.other


def semantic_diff(old: str, new: str, backends: Iterable[Backend] = ()) -> ConfigDiff:
    """What changes from `old` to `new`. The backends of both sides give servers their instance ids."""
    ids = {key: backend.instance_id for backend in backends for key in (backend.name, backend.address)}
    before, after = ({(s.section, s.name): s for s in servers(text)} for text in (old, new))
    pairs = [(before.get(key), after.get(key)) for key in dict.fromkeys((*before, *after))]
    return ConfigDiff(
        added=tuple(_change(was, now, ids) for was, now in pairs if was is None),
        removed=tuple(_change(was, now, ids) for was, now in pairs if now is None),
        changed=tuple(_change(was, now, ids) for was, now in pairs if was and now and _keywords(was) != _keywords(now)),
        other=tuple(unified_diff(_without_servers(old), _without_servers(new), "old", "new", n=2, lineterm="")),
    )


def _words(keyword: str, *values: str | bool | None) -> str:
    shown = " -> ".join(str(value) for value in values if value not in (None, True))
    return f"{keyword} {shown}" if shown else keyword


def _change(was: Server | None, now: Server | None, ids: Mapping[str, str]) -> ServerChange:
    server = now or was
    assert server  # noqa: S101 - one of both has it
    before, after = _keywords(was).items(), _keywords(now).items()
    instance_id = ids.get(server.name) or ids.get(server.host)
    return ServerChange(server.section, server.name, instance_id, dict(before - after), dict(after - before))


def _keywords(server: Server | None) -> dict[str, str | bool]:
    if server is None:
        return {}
    found: dict[str, str | bool] = {"address": server.address}
    rest = iter(server.keywords)
    for keyword in rest:
        found[keyword] = True if keyword in FLAGS else next(rest, "")
    return found


def _without_servers(text: str) -> list[str]:
    # `words` costs more than the line is worth unless it can be a server at all.
    lines = text.splitlines()
    return [line for line in lines if "server" not in line or (words(line) or ("",))[0] not in SERVER_KEYWORDS]
