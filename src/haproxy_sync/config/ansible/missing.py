"""Undefined values: strict where they are used, silent while they are only passed on."""

from typing import Any, Never

from jinja2 import StrictUndefined, Undefined, UndefinedError
from jinja2.utils import missing as absent

from haproxy_sync.config.ansible.location import Place, innermost
from haproxy_sync.config.ansible.names import lacks, seen_as
from haproxy_sync.errors import SyncError


class MissingError(UndefinedError, SyncError):
    """An undefined value was used. `source` is that value, so that a caller can hand it on instead.

    Jinja expects an `UndefinedError`.
    """

    def __init__(self, message: str, source: "Missing") -> None:
        super().__init__(message)
        self.source = source

    @property
    def place(self) -> Place | None:
        """Where it was used first; None if no template file was on the way."""
        return self.source._place or innermost(self.__traceback__)  # noqa: SLF001 - this module's own

    def handed_on(self, variable: str = "") -> "Missing":
        """The undefined value for whoever called, which may have a default for it.

        It remembers where it was used, or else the variable that could not be rendered because of it.
        """
        if variable:
            return Missing(f"{variable}: {self}")
        missing = Missing(str(self))
        missing._place = self.place  # noqa: SLF001 - this module's own
        return missing


@seen_as("UndefinedMarker")
class Missing(StrictUndefined):
    """`a.b.c | default('x')` works without `a`; printing, testing or looping over it is an error that names it."""

    __slots__ = ("_place",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._place: Place | None = None

    @property
    def _undefined_message(self) -> str:
        if self._undefined_hint or self._undefined_obj is absent:
            return super()._undefined_message
        return lacks(self._undefined_obj, self._undefined_name)

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
