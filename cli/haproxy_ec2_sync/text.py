"""Text that others wrote, as a terminal may have it: tags, templates and hosts say whatever somebody put there."""


def plain(text: object) -> str:
    """On one line, with nothing in it that moves the cursor, colours, or turns the direction of what follows."""
    return "".join(map(_harmless, str(text)))


def _harmless(character: str) -> str:
    """The character, a blank for one that ends lines or columns, and a sign for one that no terminal prints."""
    if character.isprintable():
        return character
    return " " if character.isspace() else "\N{REPLACEMENT CHARACTER}"
