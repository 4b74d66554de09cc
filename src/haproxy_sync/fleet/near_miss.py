"""Tags that were meant for us and mistyped: what was read, and what was expected. Nothing here is served for it.

A slip is another case, another or no blank (U+00A0 too), another or no `-` or `_`, or two letters swapped. In the keys
of our own options, which nobody else uses, it is also one wrong, missing or additional letter, or another separator.
Values have no such room: `tomcat8` and `tomcats` beside `tomcat` are somebody's types.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from os.path import commonprefix
from unicodedata import normalize

from haproxy_sync.settings import Settings

type Tags = Mapping[str, str]
type Tag = tuple[str, str]

PORT_TAG = "haproxy:port"
WEIGHT_TAG = "haproxy:weight"
BACKUP_TAG = "haproxy:backup"
DRAIN_TAG = "haproxy:drain"
OPTION_TAGS = (PORT_TAG, WEIGHT_TAG, BACKUP_TAG, DRAIN_TAG)

MAX_SHOWN = 64  # characters of a text that a detail repeats

# What nobody sees: blanks and characters without a width.
_UNSEEN = r"\s\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff"
_IGNORED = re.compile(rf"[{_UNSEEN}_-]")
_IGNORED_IN_OPTIONS = re.compile(rf"[{_UNSEEN}_:./-]")

_LETTER = r"[^\W\d_]"
# Of a change `before>after`: nothing, or two letters that are swapped.
_SLIP = re.compile(rf"|({_LETTER})({_LETTER})>\2\1")
# Or one letter more, less, or another.
_SLIP_IN_OPTIONS = re.compile(rf"{_SLIP.pattern}|{_LETTER}?>{_LETTER}?")


def in_tags(tags: Tags, settings: Settings) -> list[str]:
    """A detail for each slip in the type tag or in the options of an instance of the environment."""
    return [*_type_slips(tags, settings), *_option_slips(tags, settings)]


def in_environment(tags: Tags, settings: Settings) -> list[str]:
    """A detail for each tag that was meant for our environment, of another one's instance that was meant for a role.

    Where the environment's key is right, its value counts alone.
    """
    backend = settings.type_tag_key, settings.backend_tag_value
    proxy = settings.type_tag_key, settings.proxy_tag_value
    if not [*_meant(tags, backend), *_meant(tags, proxy)]:
        return []
    key, value = settings.environment_tag_key, settings.environment
    if key in tags:
        tags = {key: tags[key]}
    expected = _pair(key, value)
    return [
        f"{_pair(*read)}, expected {expected}" for read in _meant(tags, (key, value))
    ]


def key_patterns(key: str) -> list[str]:
    """Values of EC2's filter `tag-key` that find the key and most of its slips.

    That filter is case-sensitive, and no pattern of it takes one letter in both cases: so the first is left open, and
    blanks at the ends are.
    """
    spellings = {key[1:], key[1:].lower(), key[1:].upper()}
    return sorted(map("*{}*".format, map(exactly, spellings)))


def exactly(text: str) -> str:
    r"""A filter's value that means this text: `*`, `?` and `\` are special there."""
    return re.sub(r"[\\*?]", r"\\\g<0>", text)


@lru_cache(maxsize=4096)
def is_slip(read: str, expected: str) -> bool:
    """Whether the text is another one than expected, and seems to be meant for it."""
    return read != expected and _means(read, expected)


@lru_cache(maxsize=4096)
def misread_option(key: str) -> str:
    """The option that the key seems to be meant for; empty where it is one, or is meant for none."""
    if key in OPTION_TAGS:
        return ""
    return next(filter(partial(_means_option, key), OPTION_TAGS), "")


def _type_slips(tags: Tags, settings: Settings) -> Iterator[str]:
    """Of the value where the key is right, else of the key."""
    key = settings.type_tag_key
    value = tags.get(key)
    roles = (settings.backend_tag_value, settings.proxy_tag_value)
    if value in roles:
        return
    if value:
        for role in filter(partial(is_slip, value), roles):
            yield f"{_pair(key, value)}, expected {_shown(role)}"
        return
    for other in filter(lambda other: is_slip(other, key), tags):
        read = _pair(other, tags[other])
        yield f"tag {read}, expected the key {_shown(key)}"


def _option_slips(tags: Tags, settings: Settings) -> Iterator[str]:
    """Of a backend; nobody else has options."""
    if tags.get(settings.type_tag_key) != settings.backend_tag_value:
        return
    for key in filter(misread_option, tags):
        read = _pair(key, tags[key])
        expected = _shown(misread_option(key))
        yield f"tag {read}, expected the key {expected}"


def _meant(tags: Tags, expected: Tag) -> Iterator[Tag]:
    """The tags whose key and value are the expected ones, or slips of them."""
    return filter(lambda tag: all(map(_means, tag, expected)), tags.items())


@lru_cache(maxsize=4096)
def _means(read: str, expected: str) -> bool:
    change = _change(_folded(_IGNORED, read), _folded(_IGNORED, expected))
    return _SLIP.fullmatch(change) is not None


def _means_option(read: str, option: str) -> bool:
    change = _change(
        _folded(_IGNORED_IN_OPTIONS, read),
        _folded(_IGNORED_IN_OPTIONS, option),
    )
    return _SLIP_IN_OPTIONS.fullmatch(change) is not None


def _folded(ignored: re.Pattern[str], text: str) -> str:
    """The text without what a slip may change."""
    plain = normalize("NFKC", text).casefold()
    return ignored.sub("", plain)


def _change(before: str, after: str) -> str:
    """What stands between the common beginning and the common end of both, as `before>after`; empty for equal texts."""
    if before == after:
        return ""
    begin = _common(before, after)
    before, after = before[begin:], after[begin:]
    end = _common(before[::-1], after[::-1])
    before = before[: len(before) - end]
    after = after[: len(after) - end]
    return f"{before}>{after}"


def _common(left: str, right: str) -> int:
    """How many characters both begin with."""
    return len(commonprefix([left, right]))  # noqa: RUF071 # by characters, as it should be


def _pair(key: str, value: str) -> str:
    return f"{_shown(key)}={_shown(value)}"


def _shown(text: str) -> str:
    """In quotes, what nobody sees as escapes; of a long text both ends, since slips there are the hardest to see."""
    quoted = repr(text)
    if len(quoted) <= MAX_SHOWN:
        return quoted
    half = MAX_SHOWN // 2
    return f"{quoted[:half]}...{quoted[-half:]}"
