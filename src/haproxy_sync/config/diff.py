"""Two configs -> servers added, removed and changed, by section and instance; everything else as a unified diff.

Whoever shows what changes has it from here, so here the values of secrets are hidden.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import unified_diff
from itertools import filterfalse
from typing import Any, Self

from haproxy_sync.config.language import SERVER_KEYWORDS, Server, servers, words
from haproxy_sync.fleet.model import Backend
from haproxy_sync.secrets import masked, masked_words

# Keywords of a server line that stand alone (HAProxy's configuration manual, 5.2); all others take a value.
FLAGS = frozenset({
    "agent-check", "allow-0rtt", "backup", "check", "check-send-proxy", "check-ssl", "check-via-socks4", "disabled",
    "enabled", "force-sslv3", "force-tlsv10", "force-tlsv11", "force-tlsv12", "force-tlsv13", "no-agent-check",
    "no-backup", "no-check", "no-check-ssl", "no-send-proxy", "no-send-proxy-v2", "no-ssl", "no-ssl-reuse",
    "no-sslv3", "no-tls-tickets", "no-tlsv10", "no-tlsv11", "no-tlsv12", "no-tlsv13", "no-verifyhost", "non-stick",
    "send-proxy", "send-proxy-v2", "send-proxy-v2-ssl", "send-proxy-v2-ssl-cn", "ssl", "ssl-reuse", "stick", "tfo",
    "tls-tickets",
})  # fmt: skip

CHANGED = " (changed)"
"""Behind a secret that is another one than before, where both look alike."""

type Keywords = Mapping[str, str | bool]
type Place = tuple[str, str]
"""Section and name, by which a server of one config is found in the other."""


@dataclass(frozen=True, slots=True)
class ServerChange:
    """A server that appears, vanishes or changes. `before` and `after` hold only the keywords that differ."""

    section: str
    name: str
    instance_id: str | None
    before: Keywords
    after: Keywords

    @property
    def keywords(self) -> list[str]:
        """Every keyword that differs, sorted."""
        return sorted({*self.before, *self.after})

    def as_json(self) -> dict[str, Any]:
        """Every keyword that differs as `[before, after]`, `None` where it is absent."""
        return {
            "section": self.section,
            "name": self.name,
            "instance_id": self.instance_id,
            "changes": {
                keyword: [self.before.get(keyword), self.after.get(keyword)]
                for keyword in self.keywords
            },
        }

    def line(self, sign: str) -> str:
        """The server and what changes about it, behind a sign that says in which direction."""
        owner = self.instance_id or "no instance"
        return f"{sign} {self.section}/{self.name} ({owner}) {self.words()}"

    def words(self) -> str:
        """The keywords that differ: `weight 10` where only one side has it, `weight 10 -> 20` where both do."""
        return ", ".join(map(self._words, self.keywords))

    def _words(self, keyword: str) -> str:
        sides = (self.before.get(keyword), self.after.get(keyword))
        values = " -> ".join(str(value) for value in sides if value not in (None, True))
        if values:
            return f"{keyword} {values}"
        return keyword


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
        return any((self.added, self.removed, self.changed, self.other))

    def as_json(self, limit: int) -> dict[str, Any]:
        """For the answer of `plan`: of each kind so many, and in `more` how many are left out."""
        kinds = {
            "added": self.added,
            "removed": self.removed,
            "changed": self.changed,
            "other": self.other,
        }
        return {
            "added": _as_json(self.added[:limit]),
            "removed": _as_json(self.removed[:limit]),
            "changed": _as_json(self.changed[:limit]),
            "other": "\n".join(self.other[:limit]),
            "more": {name: max(0, len(kinds[name]) - limit) for name in kinds},
        }

    def lines(self) -> Iterator[str]:
        """For history and log: a line per server, the changed keywords with old and new value, then the rest."""
        signs = {"+": self.added, "-": self.removed, "~": self.changed}
        for sign, changes in signs.items():
            yield from (change.line(sign) for change in changes)
        yield from self.other


def _as_json(changes: Iterable[ServerChange]) -> list[dict[str, Any]]:
    return [change.as_json() for change in changes]


def semantic_diff(old: str, new: str, backends: Iterable[Backend] = ()) -> ConfigDiff:
    """What changes from `old` to `new`. The backends of both sides give servers their instance ids."""
    owners = _Owners.of(backends)
    before, after = _by_place(old), _by_place(new)
    kept = [
        (server, after[place]) for place, server in before.items() if place in after
    ]
    return ConfigDiff(
        added=tuple(
            owners.added(server)
            for place, server in after.items()
            if place not in before
        ),
        removed=tuple(
            owners.removed(server)
            for place, server in before.items()
            if place not in after
        ),
        changed=tuple(
            owners.changed(was, now)
            for was, now in kept
            if _keywords(was) != _keywords(now)
        ),
        other=_other(_without_servers(old), _without_servers(new)),
    )


def _other(old: list[str], new: list[str]) -> tuple[str, ...]:
    """The unified diff of what is no server, with secrets hidden."""
    lines = unified_diff(old, new, "old", "new", n=2, lineterm="")
    gone, come = set(old) - set(new), set(new) - set(old)
    looks = set(map(masked, gone))
    alike = {f"+{line}" for line in come if masked(line) in looks}
    return tuple(
        f"{line[:1]}{masked(line[1:])}{CHANGED if line in alike else ''}"
        for line in lines
    )


@dataclass(frozen=True, slots=True)
class _Owners:
    """The instances behind the servers, by name and by address, and changes that say which instance they concern."""

    ids: Mapping[str, str]

    @classmethod
    def of(cls, backends: Iterable[Backend]) -> Self:
        ids: dict[str, str] = {}
        for backend in backends:
            ids[backend.name] = backend.instance_id
            ids[backend.address] = backend.instance_id
        return cls(ids)

    def added(self, server: Server) -> ServerChange:
        return self._change(server, before={}, after=_shown(server))

    def removed(self, server: Server) -> ServerChange:
        return self._change(server, before=_shown(server), after={})

    def changed(self, was: Server, now: Server) -> ServerChange:
        differing = dict(_keywords(was).items() ^ _keywords(now).items())
        before, after = (
            {name: text for name, text in _shown(server).items() if name in differing}
            for server in (was, now)
        )
        alike = dict(before.items() & after.items())
        others = {name: f"{text}{CHANGED}" for name, text in alike.items()}
        return self._change(now, before, after | others)

    def _change(
        self, server: Server, before: Keywords, after: Keywords
    ) -> ServerChange:
        by_host = self.ids.get(server.host)
        return ServerChange(
            section=server.section,
            name=server.name,
            instance_id=self.ids.get(server.name, by_host),
            before=before,
            after=after,
        )


def _by_place(text: str) -> dict[Place, Server]:
    """The servers of a config. Where two have one name, the last one counts."""
    return {(server.section, server.name): server for server in servers(text)}


def _keywords(server: Server) -> dict[str, str | bool]:
    """The keywords with their values, `True` for those that stand alone, and the address as if it were one."""
    found: dict[str, str | bool] = {"address": server.address}
    rest = iter(server.keywords)
    for keyword in rest:
        found[keyword] = True if keyword in FLAGS else next(rest, "")
    return found


def _shown(server: Server) -> dict[str, str | bool]:
    """The same with secrets hidden."""
    shown = tuple(masked_words(server.keywords))
    return _keywords(server._replace(keywords=shown))


def _without_servers(text: str) -> list[str]:
    return list(filterfalse(_is_server, text.splitlines()))


def _is_server(line: str) -> bool:
    """Whether the line begins with a keyword for servers."""
    # `words` costs more than a line is worth that can be no server.
    if "server" not in line:
        return False
    first = next(iter(words(line)), "")
    return first in SERVER_KEYWORDS
