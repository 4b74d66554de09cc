"""Secrets of a config, hidden before anybody is shown a line: known by what stands before them. Paths are none.

The keywords are those of HAProxy's configuration manual that take a secret itself. A name that says so counts, too:
of a header, a variable or an environment variable.

The function and the program on the hosts share this module, so it works with Python 3.8 and imports nothing of ours.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MASK = "***"
MAX_WORDS = 64  # of a line, as HAProxy counts them

# Each is followed by one secret.
KEYWORDS = frozenset({
    "AUTH", "cluster-secret", "dynamic-cookie-key", "eab-mac-key", "insecure-password", "password",
})  # fmt: skip
AUTH = ("stats", "auth")  # so are these; an ACL may be called auth
# Each is followed by a name, and that by what it gets or is replaced with.
NAMING = frozenset({
    "add-header", "hdr", "presetenv", "replace-header", "replace-value", "set-header", "set-param", "set-var",
    "set-var-fmt", "setenv",
})  # fmt: skip
# No secret goes on behind one of these.
ENDS = frozenset({"body", "hdr", "if", "meth", "realm", "unless", "uri", "ver", "}"})

_NAME = (
    r"authorization|token|secret|passw|passphrase|credential"
    r"|(?:access|api|encryption|hmac|private|shared|signing)[-_]?key"
    r"|(?<![a-z])(?:auth|pass|pwd)(?![a-z_-])"
)
_NAMED = re.compile(_NAME, re.IGNORECASE)
# A sample that an ACL or a condition compares with what follows, or a variable that gets it; with the two words before.
_SAMPLE = re.compile(
    rf"""
    (?: (?: \bacl\ \S+\ | [{{!]\  ) \S* (?:hdr|cook|param|urlp|var) | \b set-var ) [\w-]*
    \( [^)]{{0,200}} (?:{_NAME}) (?: \S* | .* \) ) \Z
    """,
    re.IGNORECASE | re.VERBOSE,
)
# An option of a program, but not one that takes a file.
_OPTION = re.compile(
    rf"--?[\w-]{{0,50}}(?:{_NAME})[\w-]{{0,50}}(?<!file)(?<!path)", re.IGNORECASE
)
# Within one word: what stands before the secret, the secret, and what is no more of it.
_WITHIN = re.compile(
    rf"""
    (?P<before> :// [^/@\s:]{{0,200}} : ) [^@\s]{{1,2000}} (?P<after> @ )
    | (?P<opening>
        authorization :
        | (?:{_NAME}) [\w-]{{0,50}} : (?=\\?\ )
        | \b (?:auth|basic|bearer|pass) (?=\\?\ )
        | \b (?:jwt_verify|hmac|aes_\w+) \(
      ) .+
    | (?P<equal> (?:{_NAME}) [\w-]{{0,50}} (?<!file)(?<!path) = ) [^&\s"']+
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
# Of a variable: by such a prefix Ansible's own documentation tells values of a vault.
_VAULT = "vault_"
_PATHS = ("file", "path", "dir")
_WORD = re.compile(r"\S+")
# As HAProxy reads it; a quote that stays open goes on to the end.
_QUOTED_WORD = re.compile(
    r"""(?:[^'"\\\s]|\\.|\\$|"(?:[^"\\]|\\.)*(?:"|\\?$)|'[^']*(?:'|$))+""", re.DOTALL
)
_MEANING = re.compile(
    r"""
    (?:[^'"\\\#]|\\.|"(?:[^"\\]|\\.)*(?:"|\\?$)|'[^']*(?:'|$))*
    """,
    re.DOTALL | re.VERBOSE,
)
# Behind these HAProxy quotes the word of a line that it stopped at, or all from a position on.
_ALERT = re.compile(
    r"""
    (\bposition\ [0-9]+:) (?! \s* (?: \[ALERT\] | $)) .+? (?= \s\[ALERT\] | $)
    | (\bbut\ (?:found|got)\ ') [^']+
    """,
    re.DOTALL | re.VERBOSE,
)
_QUOTES = re.compile(r"""\\(.)|["']""", re.DOTALL)


def is_secret_name(name: str) -> bool:
    """Whether a variable of this name holds a secret, by its name alone; a path is none."""
    is_named = _NAMED.search(name) is not None and not name.endswith(_PATHS)
    return is_named or name.startswith(_VAULT)


def masked(line: str) -> str:
    """The line, each secret replaced by `***`; a comment is read like a line."""
    meaning = _MEANING.match(line)
    end = meaning.end() if meaning else 0
    return _masked(line[:end], _QUOTED_WORD) + _masked(line[end:], _WORD)


def masked_alert(text: str) -> str:
    """What HAProxy says of a config, `***` for what it quotes where a secret may stand; file and line tell where."""
    return _ALERT.sub(rf"\1\2{MASK}", text)


def masked_words(words: Sequence[str]) -> list[str]:
    """The words of a line without their quotes, each secret replaced by `***`."""
    hidden = _hidden(words)
    return [
        MASK if position in hidden else _without_inner(word)
        for position, word in enumerate(words)
    ]


def _masked(text: str, word: re.Pattern[str]) -> str:
    found = list(word.finditer(text))
    words = [each[0] for each in found]
    hidden = _hidden([_QUOTES.sub(r"\1", each).strip("#:") for each in words])
    shown, end = "", 0
    for position, match in enumerate(found):
        shown += text[end : match.start()]
        shown += MASK if position in hidden else _without_inner(match[0])
        end = match.end()
    return shown + text[end:]


def _without_inner(word: str) -> str:
    """The word without a secret that is a part of it."""
    return _WITHIN.sub(rf"\g<before>\g<opening>\g<equal>{MASK}\g<after>", word)


def _hidden(words: Sequence[str]) -> frozenset[int]:
    """The positions of the words that are secrets."""
    behind = (_behind(words, position) for position in range(len(words)))
    return frozenset(chain.from_iterable(behind))


def _behind(words: Sequence[str], position: int) -> Iterable[int]:
    """The positions of what is secret for the word at this one."""
    begin = position + 1
    if _is_before_one(words, position):
        return range(begin, _end(words[: begin + 1], begin))
    until_here = " ".join(words[max(0, position - 2) : begin])
    if _SAMPLE.search(until_here) or _is_name(words, position):
        return range(begin, _end(words[: begin + MAX_WORDS], begin))
    return ()


def _is_before_one(words: Sequence[str], position: int) -> bool:
    """Whether the next word is a secret."""
    word = words[position]
    pair = (*words[max(0, position - 1) : position], word)
    return any((word in KEYWORDS, pair == AUTH, _OPTION.fullmatch(word)))


def _is_name(words: Sequence[str], position: int) -> bool:
    """Whether it is a name that says that its value is secret."""
    is_name = position > 0 and words[position - 1] in NAMING
    return is_name and _NAMED.search(words[position]) is not None


def _end(words: Sequence[str], begin: int) -> int:
    """Where the next word stands that ends a secret."""
    ends = (place for place in range(begin, len(words)) if words[place] in ENDS)
    return next(ends, len(words))
