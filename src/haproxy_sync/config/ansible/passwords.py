"""`password_hash`: SHA-crypt by Ulrich Drepper's specification (https://www.akkadia.org/drepper/SHA-crypt.txt).

Only with a salt: the same fleet must give the same bytes. Python has no `crypt` any more, and passlib would be one more
dependency of each cold start. The digests are hashlib's.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

from haproxy_sync.config.ansible.names import require

_LETTERS = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SALT = re.compile(r"[./0-9A-Za-z]{1,16}", re.ASCII)
_UNSAID_ROUNDS = 5000
_ROUNDS = range(1000, 999_999_999 + 1)

_is_quick: ContextVar[bool] = ContextVar("_is_quick", default=False)

_REMEMBERED = 64

type Hashes = dict[tuple[str, bytes, bytes, int], str]
"""Hashes by scheme, password, salt and rounds."""
_HASHES: Hashes = {}

type _Step = Callable[[int, int, int], tuple[int, int, int]]


@dataclass(frozen=True, slots=True)
class _Scheme:
    """One of the two, and how many rounds Ansible asks for."""

    ident: str
    digest: Callable[[bytes], Any]
    rounds: int
    third: int
    """A third of the digest's bytes: so far apart are the three that make four letters."""
    step: _Step
    rest: tuple[int, ...]
    """The bytes that are left over."""

    def hash(self, text: bytes) -> bytes:
        """The digest."""
        result: bytes = self.digest(text).digest()
        return result

    def letters(self, digest: bytes) -> Iterator[str]:
        """The digest in letters, in the order of the specification."""
        places = (0, self.third, 2 * self.third)
        for _ in range(self.third):
            yield _encoded(digest, places)
            places = self.step(*places)
        yield _encoded(digest, self.rest)


def _encoded(digest: bytes, places: tuple[int, ...]) -> str:
    number = int.from_bytes(bytes(digest[place] for place in places))
    return "".join(
        _LETTERS[number >> 6 * index & 63] for index in range(len(places) + 1)
    )


_SCHEMES: Mapping[str, _Scheme] = {
    **dict.fromkeys(
        ("sha256", "sha256_crypt"),
        _Scheme(
            "5",
            hashlib.sha256,
            535_000,
            10,
            lambda a, b, c: (c + 1, a + 1, b + 1),
            (31, 30),
        ),
    ),
    **dict.fromkeys(
        ("sha512", "sha512_crypt"),
        _Scheme(
            "6",
            hashlib.sha512,
            656_000,
            21,
            lambda a, b, c: (b + 1, c + 1, a + 1),
            (63,),
        ),
    ),
}


@contextmanager
def quick() -> Iterator[None]:
    """Inside, hashes look like those of all their rounds and are of one: for a text that nobody will use."""
    token = _is_quick.set(True)
    try:
        yield
    finally:
        _is_quick.reset(token)


def password_hash(
    password: Any,
    hashtype: str = "sha512",
    salt: Any = None,
    salt_size: int | None = None,
    rounds: Any = None,
    ident: str | None = None,
) -> str:
    """The password as `/etc/shadow` and HAProxy's `password` take it.

    Raises `ValueError` without a salt, for other kinds of hash, and for what the specification does not allow.
    """
    del salt_size, ident  # of a random salt, and of bcrypt
    require(
        hashtype in _SCHEMES,
        f"password_hash knows sha256 and sha512, not {hashtype!r}",
    )
    require(
        salt,
        "password_hash needs a salt: a config with a random one would differ in every run",
    )
    scheme = _SCHEMES[hashtype]
    given = int(rounds or scheme.rounds)
    require(
        _SALT.fullmatch(str(salt)),
        "password_hash takes a salt of 1 to 16 letters, digits, dots and slashes",
    )
    require(given in _ROUNDS, "password_hash takes 1000 to 999999999 rounds")
    require(
        isinstance(password, str) and "\0" not in password,
        "password_hash takes text without NUL",
    )
    if _is_quick.get():
        return _written(scheme, password.encode(), str(salt).encode(), given, done=1)
    return hashed(scheme, password.encode(), str(salt).encode(), given)


def hashed(scheme: _Scheme, password: bytes, salt: bytes, rounds: int) -> str:
    """Remembered, for half a million rounds take a second, and each config is rendered twice."""
    key = (scheme.ident, password, salt, rounds)
    if key not in _HASHES:
        remember({key: _written(scheme, password, salt, rounds, done=rounds)})
    return _HASHES[key]


def known() -> Hashes:
    """What this process remembers."""
    return dict(_HASHES)


def remember(hashes: Hashes) -> None:
    """Know these, which another process made, instead of making them again."""
    _HASHES.update(hashes)
    for key in list(_HASHES)[:-_REMEMBERED]:
        del _HASHES[key]


def _written(
    scheme: _Scheme, password: bytes, salt: bytes, rounds: int, *, done: int
) -> str:
    """The hash that says so many rounds, of those that are done."""
    digest = _rounds(scheme, password, salt, done)
    said = "" if rounds == _UNSAID_ROUNDS else f"rounds={rounds}$"
    return f"${scheme.ident}${said}{salt.decode()}${''.join(scheme.letters(digest))}"


def _rounds(scheme: _Scheme, password: bytes, salt: bytes, rounds: int) -> bytes:
    """The digest after all rounds; the letters in the comments are the specification's."""
    length = len(password)
    b = scheme.hash(password + salt + password)
    bits = (length >> bit & 1 for bit in range(length.bit_length()))
    mixed = b"".join(b if bit else password for bit in bits)
    a = scheme.hash(password + salt + _repeated(b, length) + mixed)
    p = _repeated(scheme.hash(password * length), length)
    s = _repeated(scheme.hash(salt * (16 + a[0])), len(salt))
    digest = a
    for before, after in islice(cycle(_pattern(p, s)), rounds):
        digest = scheme.hash(before + digest + after)
    return digest


def _repeated(digest: bytes, length: int) -> bytes:
    return (digest * (length // len(digest) + 1))[:length]


def _pattern(p: bytes, s: bytes) -> list[tuple[bytes, bytes]]:
    """What stands before and after the digest in each round. It repeats after 2 * 3 * 7 of them."""
    between = [s * bool(number % 3) + p * bool(number % 7) for number in range(42)]
    return [
        (p + middle, b"") if number % 2 else (b"", middle + p)
        for number, middle in enumerate(between)
    ]
