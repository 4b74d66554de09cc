"""What Ansible's own YAML tags become in a variables file."""


class Data:
    """Text of the variables file that is no template (`!unsafe`)."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


class Unreadable:
    """A value of the variables file that nobody can render; harmless as long as no template reads it."""

    __slots__ = ("file", "line", "reason")

    def __init__(self, file: str, line: int, reason: str) -> None:
        self.file = file
        self.line = line
        self.reason = reason
