"""Secret lines of a config: whose text depends on a variable that is marked secret, by number from 1.

Found by comparing the config with its twin, which was rendered with other values for what is marked.
"""

from collections.abc import Collection, Iterable, Iterator
from difflib import SequenceMatcher
from itertools import chain, compress, pairwise, repeat
from operator import contains, ne, sub

from haproxy_sync.state.model import NO_SECRET_LINES

MAX_ITEMS = 200  # that the document's parameter takes
NOTHING: frozenset[str] = frozenset()


def parameter(lines: Iterable[int]) -> str:
    """The lines as the document's parameter `SecretLines` names them: numbers and ranges, ascending, `0` for none.

    Of more items than it takes, those that stand closest to each other become one range, which is secret as a whole.
    """
    ordered = sorted(set(lines))
    if not ordered:
        return NO_SECRET_LINES
    # By place, how far a line stands behind the one before.
    gaps = dict(enumerate(map(sub, ordered[1:], ordered), 1))
    apart = filter(lambda place: gaps[place] > 1, gaps)
    widest = sorted(apart, key=gaps.__getitem__, reverse=True)
    begins = sorted(widest[: MAX_ITEMS - 1])
    items = pairwise([0, *begins, len(ordered)])
    return ",".join(_item(ordered[begin], ordered[end - 1]) for begin, end in items)


def _item(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def found(text: str, twin: str | None, values: Iterable[str]) -> tuple[int, ...]:
    """The secret lines of a text: where its twin says something else, and where one of the values stands in one line.

    No twin: it could not be rendered, so nobody knows what depends on a secret, and every line is one.
    """
    lines = text.removesuffix("\n").split("\n")
    if twin is None:
        return tuple(range(1, len(lines) + 1))
    places = set(_differing(lines, twin.removesuffix("\n").split("\n")))
    for value in filter(text.__contains__, values):
        places.update(_holding(value, lines))
    return tuple(sorted(place + 1 for place in places))


def _holding(value: str, lines: list[str]) -> Iterator[int]:
    return compress(range(len(lines)), map(contains, lines, repeat(value)))


def _differing(lines: list[str], twin: list[str]) -> Iterator[int]:
    """The places of the lines that the twin does not have there."""
    if len(lines) == len(twin):
        return compress(range(len(lines)), map(ne, lines, twin))
    blocks = _changed_blocks(lines, twin)
    return chain.from_iterable(range(begin, end) for begin, end, *_ in blocks)


def _changed_blocks(
    old: list[str], new: list[str]
) -> Iterator[tuple[int, int, int, int]]:
    """Begin and end of each in the old lines, and in the new ones.

    Lines that stand everywhere, such as `mode http`, only prolong what is alike: to try each of them with each takes
    minutes where there are a thousand sections.
    """
    matcher = SequenceMatcher(None, old, new)
    for kind, *block in matcher.get_opcodes():
        if kind != "equal":
            begin, end, new_begin, new_end = block
            yield begin, end, new_begin, new_end


def secret_texts(
    old: list[str], new: list[str], in_old: Collection[int], in_new: Collection[int]
) -> frozenset[str]:
    """What nobody may be shown of two configs: the secret lines of both, and what takes their place in the other one.

    One of the two may be from before its variable was marked.
    """
    of_old, of_new = _named(old, in_old), _named(new, in_new)
    secret = set(of_old | of_new)
    blocks = _changed_blocks(old, new) if secret else ()
    for begin, end, new_begin, new_end in blocks:
        gone, come = set(old[begin:end]), set(new[new_begin:new_end])
        secret |= come if gone & of_old else NOTHING
        secret |= gone if come & of_new else NOTHING
    return frozenset(secret)


def _named(lines: list[str], numbers: Collection[int]) -> frozenset[str]:
    """The lines of these numbers; there are fewer where somebody has changed the stored object by hand."""
    return frozenset(
        chain.from_iterable(lines[number - 1 : number] for number in numbers)
    )
