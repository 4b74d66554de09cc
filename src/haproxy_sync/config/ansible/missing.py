"""Undefined values: strict where they are used, silent while they are only passed on."""

from typing import Any, Never

from jinja2 import StrictUndefined, Undefined, UndefinedError

from haproxy_sync.errors import SyncError


class MissingError(UndefinedError, SyncError):
    """An undefined value was used. `source` is that value, so that a caller can hand it on instead.

    Jinja expects an `UndefinedError`.
    """

    def __init__(self, message: str, source: "Missing") -> None:
        super().__init__(message)
        self.source = source


class Missing(StrictUndefined):
    """`a.b.c | default('x')` works without `a`; printing, testing or looping over it is an error that names it."""

    __slots__ = ()

    def _fail_with_undefined_error(self, *_args: Any, **_kwargs: Any) -> Never:
        raise MissingError(self._undefined_message, self)

    def __getattr__(self, name: str) -> "Missing":
        """An attribute of nothing is nothing."""
        if name.startswith("__"):  # Python's own protocols must keep failing
            raise AttributeError(name)
        return self

    def __getitem__(self, _key: object) -> "Missing":  # type: ignore[override] # the base never returns
        """An item of nothing is nothing."""
        return self


# The bases bind their own method to every operator, so overriding it by name alone would change nothing.
_INHERITED = {**vars(Undefined), **vars(StrictUndefined)}
_FAILING = {
    name
    for name, method in _INHERITED.items()
    if method is Undefined._fail_with_undefined_error  # noqa: SLF001 - see above
}
_PRINTING = {"__repr__", "__format__"}
"""Not even in a list may an undefined value be printed."""

for _name in (_FAILING | _PRINTING) - vars(Missing).keys():
    setattr(Missing, _name, Missing._fail_with_undefined_error)  # noqa: SLF001 - see above


def first_missing(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Missing | None:
    """The first undefined argument of a call."""
    for value in [*args, *kwargs.values()]:
        if isinstance(value, Missing):
            return value
    return None
