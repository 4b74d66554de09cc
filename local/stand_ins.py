"""Stand-ins for what only a proxy has (maps, lists, certificates, Lua, users), so that `haproxy -c` can look further.

HAProxy itself says which file it could not open: that knows every keyword of every version, paths below `ca-base`, and
what an `.if` leaves out, where a list of keywords would always be behind. What kind of file satisfies it is tried:
nothing, then certificates. What can be found by no trial (Lua that declares what the config calls) is in `_BY_KEYWORD`.
A stand-in that HAProxy still complains about is withdrawn: the complaint is about the config then, not about the file.
"""

import base64
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from pathlib import Path

_CANNOT_OPEN = re.compile(
    r"\b(?:open|opening|stat|load|read|director(?:y|ies))\b|no such file|permission denied",
    re.IGNORECASE,
)
_NO_ACCOUNT = re.compile(
    r"(?:cannot find|unknown) (user|group) (?:id for|name) '([^']+)'"
)
_PATH = re.compile(r"""(?<![\w.])/[^\s:,)'">]+""")
_QUOTED = re.compile(r"'([^']*)'|<([^>]*)>")
_TOKEN = re.compile(r"""[^\s,()"'\[\]]+""")
_KEYWORD = re.compile(r"""([^\s(,"']+)[\s("']+$""")
_LUA_NAME = re.compile(r"\blua\.(\w+)")
# HAProxy creates these even when it only checks; they never lie outside our folder.
_CREATED = re.compile(
    r"^(\s*(?:backing-file|shm-stats-file|account-key)\s+)(\S+)", re.MULTILINE
)
_SPOE_BACKEND = "template-test-spoe"


def _nothing(_config: str) -> str:
    """An empty map, list, script, error file or body."""
    return ""


@cache
def _pem() -> str:
    """A certificate with its key and DH parameters: enough for each keyword of TLS (`CalledProcessError`)."""
    commands = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=template-test -keyout - -out -",
        "openssl genpkey -genparam -algorithm DH -pkeyopt group:ffdhe2048",
    )
    return "".join(
        subprocess.run(
            command.split(), capture_output=True, text=True, timeout=60, check=True
        ).stdout
        for command in commands
    )


def _ticket_keys(_config: str) -> str:
    return (base64.b64encode(bytes(48)).decode() + "\n") * 3


def _spoe(config: str) -> str:
    """An agent for each engine; `StandIns.config` appends the backend that it wants."""
    engines = sorted(set(re.findall(r"\bspoe\s+engine\s+(\S+)", config))) or ["any"]
    agent = f"spoe-agent template_test\n    use-backend {_SPOE_BACKEND}\n"
    # Without a message HAProxy 2.6 crashes as it ends its check.
    agent += "    timeout processing 1s\n    messages nothing\n"
    message = "spoe-message nothing\n    event on-client-session\n"
    return "".join(f"[{engine}]\n{agent}{message}" for engine in engines)


def _lua(config: str) -> str:
    """Declares each `lua.name` of the config as whatever it is used as; the first script of a state declares them."""
    names = sorted(set(_LUA_NAME.findall(config)))
    return "\n".join((
        "if template_test then return end",
        "template_test = true",
        "local function nothing() end",
        *(_declarations(name, config) for name in names),
        "",
    ))  # fmt: skip


def _declarations(name: str, config: str) -> str:
    rule = re.search(
        rf"^\s*(?:http|tcp)-.*\slua\.{name}(?=\s|$)(.*)", config, re.MULTILINE
    )
    words = re.split(r"\b(?:if|unless)\b", rule[1])[0].split() if rule else []
    kind = "tcp" if re.search(rf"tcp-.*use-service lua\.{name}\b", config) else "http"
    return f"""\
for _, place in ipairs({{"tcp-req", "tcp-res", "http-req", "http-res", "http-after-res"}}) do
    pcall(core.register_action, "{name}", {{place}}, nothing, {len(words)})
end
core.register_fetches("{name}", nothing)
core.register_converters("{name}", nothing)
core.register_service("{name}", "{kind}", nothing)"""


type Content = Callable[[str], str]
"""The content of a stand-in for this config."""

_TRIED: Sequence[Content] = (_nothing, lambda _config: _pem())
_BY_KEYWORD: Mapping[str, Content | None] = {
    "lua-load": _lua,
    "lua-load-per-thread": _lua,
    "tls-ticket-keys": _ticket_keys,
    "config": _spoe,
    # None is a folder. It is never tried: HAProxy reads a folder in place of some files for ever.
    "issuers-chain-path": None,
    "origin": None,
}


@dataclass(slots=True)
class _StandIn:
    """One thing of the proxy's: where the config names it, and what stands for it now."""

    keyword: str
    token: str
    choices: list[tuple[str, Content | None]]
    """Path and content, the one in use first; empty once HAProxy accepted none."""

    @property
    def pattern(self) -> str:
        return rf"""(?<![\w.-])({re.escape(self.keyword)}[\s("']+){re.escape(self.token)}(?=[\s,)"']|$)"""

    def is_named_in(self, message: str) -> bool:
        """Whether the message is about the stand-in itself, and not about an expression that contains it."""
        path = re.escape(self.choices[0][0])
        return re.search(rf"(?<![\w(,]){path}(?![\w),-])", message) is not None


@dataclass(slots=True)
class StandIns:
    """What stands in, in a folder of ours; it learns, so that the next config needs fewer runs."""

    folder: Path
    _known: dict[tuple[str, str], _StandIn] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """What was stood in for, as the config writes it."""
        used = (each for each in self._known.values() if each.choices)
        return tuple(sorted({each.token for each in used}))

    def config(self, text: str) -> str:
        """The config with the stand-ins in place, line by line the same otherwise; their files are written."""
        text = _CREATED.sub(lambda m: f"{m[1]}{self.folder}/created", text)
        for each in self._known.values():
            if each.choices:
                text = self._substituted(each, text)
        if _SPOE_BACKEND not in text and "spoe" in text:
            text += f"backend {_SPOE_BACKEND}\n    mode tcp\n"
        return text

    def _substituted(self, each: _StandIn, text: str) -> str:
        path, content = each.choices[0]
        if content:
            Path(path).write_text(content(text), encoding="utf-8")
        return re.sub(each.pattern, lambda m: m[1] + path, text, flags=re.MULTILINE)

    def original(self, message: str) -> str:
        """The message with the names that the config's author knows."""
        for each in self._files():
            message = message.replace(each.choices[0][0], each.token)
        return message

    def learn(self, message: str, lines: Sequence[str]) -> bool:
        """Whether this complaint about these lines may be gone in the next run, for something else stands in then."""
        blamed = self._blamed(message)
        if blamed:
            del blamed.choices[0]
            return True
        new = next(self._wanted(message, lines), None)
        if new is None:
            return False
        self._known[new.keyword, new.token] = new
        return True

    def _blamed(self, message: str) -> _StandIn | None:
        """The stand-in that HAProxy does not like."""
        return next((each for each in self._files() if each.is_named_in(message)), None)

    def _files(self) -> list[_StandIn]:
        start = f"{self.folder}/"
        used = (each for each in self._known.values() if each.choices)
        return [each for each in used if each.choices[0][0].startswith(start)]

    def _wanted(self, message: str, lines: Sequence[str]) -> Iterator[_StandIn]:
        """What the message says is absent, found where the config names it."""
        account = _NO_ACCOUNT.search(message)
        if account:
            key = (account[1], account[2])
            if key not in self._known:
                # A user and a group of that name are everywhere.
                yield _StandIn(*key, choices=[("root", None)])
        elif _CANNOT_OPEN.search(message):
            found = _place(message, lines)
            if found and found not in self._known and not _is_here(found[1]):
                yield _StandIn(*found, self._choices(found[0]))

    def _choices(self, keyword: str) -> list[tuple[str, Content | None]]:
        start = self.folder / f"stand-in-{len(self._known)}"
        if keyword == "crt-list":
            certificate = self.folder / "certificate.pem"
            certificate.write_text(_pem(), encoding="utf-8")
            return [(f"{start}-list", lambda _config: f"{certificate}\n")]
        if keyword not in _BY_KEYWORD:
            return [(f"{start}-{number}", each) for number, each in enumerate(_TRIED)]
        content = _BY_KEYWORD[keyword]
        if content is None:
            start.mkdir()
        return [(str(start), content)]


def _is_here(token: str) -> bool:
    """Whether this machine has the file. A relative path means another folder on the proxy."""
    return token.startswith("/") and os.access(token, os.R_OK)


def _place(message: str, lines: Sequence[str]) -> tuple[str, str] | None:
    """Keyword and token of the lines that the message means: a path, else what it quotes, what stands last first."""
    quoted = ["".join(each) for each in _QUOTED.findall(message)]
    named = [*reversed(_PATH.findall(message)), *reversed(quoted)]
    found = chain.from_iterable(
        sorted(_written(name, line), key=lambda place: -len(place[1]))
        for name in named
        for line in lines
    )
    return next(found, None)


def _written(name: str, line: str) -> Iterator[tuple[str, str]]:
    """Keyword and token wherever a line says the name, whole or below a base folder."""
    tokens = list(_TOKEN.finditer(line))
    if len(tokens) > 1 and tokens[0][0] == name:  # HAProxy names the keyword alone
        yield name, tokens[1][0]
    for token in tokens[1:]:
        keyword = _KEYWORD.search(line[: token.start()])
        is_said = name == token[0] or name.endswith(f"/{token[0]}")
        if keyword and is_said and ("/" in name or "." in name or keyword[1] == "-f"):
            yield keyword[1], token[0]
