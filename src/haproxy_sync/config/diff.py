"""Two configs -> servers added, removed and changed, by section and instance; everything else as a unified diff.

Whoever shows what changes has it from here, so here the values of secrets are hidden.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import unified_diff
from itertools import repeat
from typing import Any, NamedTuple, Self

from haproxy_sync.config.keywords import FIRST, FLAGS, OPTIONS, hidden, is_plain
from haproxy_sync.config.language import Server, every_line, words
from haproxy_sync.config.secret_lines import secret_texts
from haproxy_sync.fleet.model import Backend
from haproxy_sync.secrets import MASK, masked, masked_words

CHANGED = " (changed)"
"""Behind a secret that is another one than before, where both look alike."""

ADDRESS = "address"
"""The address of a server, as if it were an option."""
OTHER_OPTIONS = "other options"
"""Those that may be no options: anything, a secret included."""

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
        """The server and what changes about it, behind a sign; only what can hold no secret has a value."""
        owner = self.instance_id or "no instance"
        named = dict.fromkeys(map(self._named, self.keywords))
        return f"{sign} {self.section}/{self.name} ({owner}) {', '.join(named)}"

    def words(self) -> str:
        """The keywords that differ: `weight 10` where only one side has it, `weight 10 -> 20` where both do."""
        return ", ".join(map(self._words, self.keywords))

    def _named(self, keyword: str) -> str:
        if keyword == ADDRESS or all(
            map(is_plain, repeat(keyword), self._values(keyword))
        ):
            return self._words(keyword)
        return keyword if keyword in OPTIONS else OTHER_OPTIONS

    def _values(self, keyword: str) -> list[str]:
        sides = (self.before.get(keyword), self.after.get(keyword))
        return [str(value) for value in sides if value not in (None, True)]

    def _words(self, keyword: str) -> str:
        values = " -> ".join(self._values(keyword))
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
    keywords: tuple[str, ...] = ()
    """Of all other lines how many changed, by section and keyword."""

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
        """For history and log: a line per server and one per section of what else changed, without its values."""
        signs = {"+": self.added, "-": self.removed, "~": self.changed}
        for sign, changes in signs.items():
            yield from (change.line(sign) for change in changes)
        yield from self.keywords


def _as_json(changes: Iterable[ServerChange]) -> list[dict[str, Any]]:
    return [change.as_json() for change in changes]


type SecretLines = tuple[Collection[int], Collection[int]]
"""The secret lines of both sides, by number from 1."""


def semantic_diff(
    old: str,
    new: str,
    backends: Iterable[Backend] = (),
    secret_lines: SecretLines = ((), ()),
) -> ConfigDiff:
    """What changes from `old` to `new`. The backends of both sides give servers their instance ids.

    Of the secret lines of either only keywords are shown.
    """
    old_lines, new_lines = _lines(old), _lines(new)
    secret = secret_texts(old_lines, new_lines, *secret_lines)
    masks = _Masks.of(secret, backends)
    (before, gone), (after, come) = _read(old_lines), _read(new_lines)
    kept = [(each, after[place]) for place, each in before.items() if place in after]
    return ConfigDiff(
        added=tuple(map(masks.added, _only(after, before))),
        removed=tuple(map(masks.removed, _only(before, after))),
        changed=tuple(
            masks.changed(was, now)
            for was, now in kept
            if _keywords(was.server) != _keywords(now.server)
        ),
        other=_other(_texts(gone), _texts(come), masks),
        keywords=tuple(_changed_keywords(gone, come, masks)),
    )


class _Found(NamedTuple):
    """A server, and the line that it stands in."""

    server: Server
    line: str


type _Servers = Mapping[Place, _Found]
type _Lines = list[tuple[str, str]]
"""Lines, each behind the section it stands in."""


def _only(these: _Servers, those: _Servers) -> list[_Found]:
    """The servers of these whose place those do not have, in their order."""
    return [these[place] for place in these if place not in those]


def _texts(lines: _Lines) -> list[str]:
    return [line for _section, line in lines]


def _lines(text: str) -> list[str]:
    """As HAProxy counts them."""
    return text.removesuffix("\n").split("\n")


def _read(written: list[str]) -> tuple[_Servers, _Lines]:
    """The servers of a config, and its other lines. Where two servers have one name, the last one counts."""
    servers: dict[Place, _Found] = {}
    others: _Lines = []
    for text, line in zip(written, every_line(written), strict=True):
        if not line.begins_server:
            others.append((line.section, text))
        elif line.is_server:
            server = line.server
            servers[server.section, server.name] = _Found(server, text)
    return servers, others


def _other(old: list[str], new: list[str], masks: "_Masks") -> tuple[str, ...]:
    """The unified diff of what is no server, with secrets hidden."""
    lines = unified_diff(old, new, "old", "new", n=2, lineterm="")
    gone, come = set(old) - set(new), set(new) - set(old)
    looks = set(map(masks.line, gone))
    alike = {f"+{line}" for line in come if masks.line(line) in looks}
    return tuple(
        f"{line[:1]}{masks.line(line[1:])}{CHANGED if line in alike else ''}"
        for line in lines
    )


def _changed_keywords(old: _Lines, new: _Lines, masks: "_Masks") -> Iterator[str]:
    """`~ frontend web: acl +1, bind +1 -1`: what came and went, by the names that can be shown."""
    before, after = Counter(old), Counter(new)
    come, gone = after - before, before - after
    if before == after and old != new:
        yield MOVED
    added, removed = _counts(come, masks), _counts(gone, masks)
    named: defaultdict[str, list[str]] = defaultdict(list)
    for section, keyword in sorted(added.keys() | removed.keys()):
        signed = _signed(added[section, keyword], removed[section, keyword])
        named[section or "above all sections"].append(f"{keyword} {signed}")
    for section, changes in named.items():
        yield f"~ {section}: {', '.join(changes)}"


def _signed(added: int, removed: int) -> str:
    """`+2 -1`, without what is none."""
    return " ".join(
        filter(None, (f"+{added}" * bool(added), f"-{removed}" * bool(removed)))
    )


def _counts(
    lines: Counter[tuple[str, str]], masks: "_Masks"
) -> Counter[tuple[str, str]]:
    """How many lines of each section and keyword, as they are shown."""
    counts: Counter[tuple[str, str]] = Counter()
    for (section, line), number in lines.items():
        counts[masks.section(section), _keyword(line)] += number
    return counts


MOVED = "~ the order of lines"


def _keyword(line: str) -> str:
    """The line's keyword, or what kind of line it is; a word that is no keyword may be anything."""
    first = next(iter(words(line)), "")
    if first:
        return first if first in FIRST else "other"
    return "comment" if line.strip() else "blank"


@dataclass(frozen=True, slots=True)
class _Masks:
    """What is shown of lines and servers: which lines are secret, and which names and addresses are instances'."""

    secret: frozenset[str]
    """The texts of the lines that are."""
    ids: Mapping[str, str]
    """Instance ids by name and by address."""

    sections: frozenset[str]
    """The sections whose names are secret."""

    @classmethod
    def of(cls, secret: frozenset[str], backends: Iterable[Backend]) -> Self:
        """Of secret lines, and backends that everybody may know."""
        ids: dict[str, str] = {}
        for backend in backends:
            ids[backend.name] = backend.instance_id
            ids[backend.address] = backend.instance_id
        sections = (" ".join(words(line)[:2]) for line in secret)
        return cls(secret, ids, frozenset(sections))

    def line(self, line: str) -> str:
        """The line with its secrets hidden."""
        return hidden(line) if line in self.secret else masked(line)

    def section(self, section: str) -> str:
        """Keyword and name, the name hidden where it is secret."""
        return hidden(section) if section in self.sections else section

    def added(self, found: _Found) -> ServerChange:
        """A server that appears."""
        return self._change(found, before={}, after=self._whole(found))

    def removed(self, found: _Found) -> ServerChange:
        """A server that vanishes."""
        return self._change(found, before=self._whole(found), after={})

    def changed(self, was: _Found, now: _Found) -> ServerChange:
        """One that stays, and what differs; where one of the two lines is secret, both are."""
        sides = _keywords(was.server), _keywords(now.server)
        differing = dict(sides[0].items() ^ sides[1].items())
        is_secret = self._is_secret(was, now)
        before, after = (
            self._shown(each.server, differing, is_secret=is_secret)
            for each in (was, now)
        )
        alike = dict(before.items() & after.items())
        others = {name: f"{text}{CHANGED}" for name, text in alike.items()}
        return self._change(now, before, after | others)

    def _whole(self, found: _Found) -> Keywords:
        every = _keywords(found.server)
        return self._shown(found.server, every, is_secret=self._is_secret(found))

    def _shown(
        self, server: Server, keywords: Container[str], *, is_secret: bool
    ) -> dict[str, str | bool]:
        """Some of the keywords with their values, secrets hidden."""
        if not is_secret:
            shown = tuple(masked_words(server.keywords))
            every = _keywords(server._replace(keywords=shown))
            return {name: text for name, text in every.items() if name in keywords}
        every = _keywords(server)
        options = {
            _option(name): _hidden(every[name]) for name in every if name in keywords
        }
        if server.host in self.ids and ADDRESS in options:
            return options | {ADDRESS: server.address}
        return options

    def _is_secret(self, *servers: _Found) -> bool:
        return not self.secret.isdisjoint(found.line for found in servers)

    def _change(self, found: _Found, before: Keywords, after: Keywords) -> ServerChange:
        server = found.server
        by_host = self.ids.get(server.host)
        is_shown = server.name in self.ids or not self._is_secret(found)
        return ServerChange(
            section=self.section(server.section),
            name=server.name if is_shown else MASK,
            instance_id=self.ids.get(server.name, by_host),
            before=before,
            after=after,
        )


def _option(name: str) -> str:
    """The name, unless it may be anything."""
    return name if name in {ADDRESS, *OPTIONS} else OTHER_OPTIONS


def _hidden(value: str | bool) -> str | bool:  # noqa: FBT001 - a value like others
    return True if value is True else MASK


def _keywords(server: Server) -> dict[str, str | bool]:
    """The keywords with their values, `True` for those that stand alone, and the address as if it were one."""
    found: dict[str, str | bool] = {ADDRESS: server.address}
    rest = iter(server.keywords)
    for keyword in rest:
        found[keyword] = True if keyword in FLAGS else next(rest, "")
    return found
