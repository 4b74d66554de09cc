"""Text for a terminal: numbers in words; and what others wrote, as tags and hosts say whatever somebody put there."""


def plain(text: object) -> str:
    """On one line, with nothing in it that moves the cursor, colours, or turns the direction of what follows."""
    return "".join(map(_harmless, str(text)))


def _harmless(character: str) -> str:
    """The character, a blank for one that ends lines or columns, and a sign for one that no terminal prints."""
    if character.isprintable():
        return character
    return " " if character.isspace() else "\N{REPLACEMENT CHARACTER}"


def count(number: int, noun: str) -> str:
    """`1 proxy`, `2 proxies`."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"
