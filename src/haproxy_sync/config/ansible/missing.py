"""Undefined values: strict where they are used, silent while they are only passed on."""

from typing import Any, Never

from jinja2 import StrictUndefined, Undefined, UndefinedError


class MissingError(UndefinedError):
    """An undefined value was used. `source` is that value, so that a caller can hand it on instead."""

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
for _base in (Undefined, StrictUndefined):
    for _name, _method in vars(_base).items():
        if _method is Undefined._fail_with_undefined_error and _name not in vars(Missing):  # noqa: SLF001 - see above
            setattr(Missing, _name, Missing._fail_with_undefined_error)  # noqa: SLF001 - see above
for _name in ("__repr__", "__format__"):
    setattr(Missing, _name, Missing._fail_with_undefined_error)  # noqa: SLF001 - never printed, not even in a list


def first_missing(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Missing | None:
    """The first undefined argument of a call."""
    for value in args:
        if isinstance(value, Missing):
            return value
    for value in kwargs.values():
        if isinstance(value, Missing):
            return value
    return None
