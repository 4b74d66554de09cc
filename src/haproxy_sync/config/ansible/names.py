"""What a template's author may call things: no class of this package is known to anybody outside.

Python and Jinja put the name of a class into their messages, and `type_debug` puts it into a config.
"""

from collections.abc import Callable
from functools import singledispatch


def seen_as[Kind: type](name: str) -> Callable[[Kind], Kind]:
    """Give a class the name that Ansible has for what it stands for."""

    def rename(kind: Kind) -> Kind:
        kind.__name__ = kind.__qualname__ = name
        kind.__module__ = "builtins"  # else Jinja writes the module before the name
        return kind

    return rename


def require(holds: object, message: str) -> None:
    """Raise `ValueError`, which says the message, unless it holds."""
    if not holds:
        raise ValueError(message)


@singledispatch
def lacks(container: object, name: object) -> str:
    """What to say of an attribute or item that is not there; containers with a better word for it register that."""
    what = "attribute" if isinstance(name, str) else "item"
    return f"{type(container).__name__} has no {what} {name!r}"
