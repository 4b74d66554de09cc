"""Text for a terminal: numbers in words; and what others wrote, as tags and hosts say whatever somebody put there."""

from collections.abc import Sequence


def plain(text: object) -> str:
    """On one line, with nothing in it that moves the cursor, colours, or turns the direction of what follows."""
    return "".join(map(_harmless, str(text)))


def _harmless(character: str) -> str:
    """The character, a blank for one that ends lines or columns, and a sign for one that no terminal prints."""
    if character.isprintable():
        return character
    return " " if character.isspace() else "\N{REPLACEMENT CHARACTER}"


def lines(text: str) -> tuple[str, ...]:
    """Those of a diff, each `plain`: only a line feed begins one, whatever else a terminal takes for a line's end."""
    return tuple(plain(line.expandtabs()) for line in text.split("\n")) if text else ()


def listed(names: Sequence[str], limit: int) -> str:
    """The first ones, and how many more there are."""
    more = len(names) - limit
    shown = ", ".join(names[:limit])
    return f"{shown} and {more} more" if more > 0 else shown


def count(number: int, noun: str) -> str:
    """`1 proxy`, `2 proxies`."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"
