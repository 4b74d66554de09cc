"""Containers of user variables whose values are templates, rendered one by one when they are read."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Self, SupportsIndex

from haproxy_sync.config.ansible.names import seen_as

type Show = Callable[[Any, str], Any]
"""Renders a raw value; the text is its path, for error messages."""


@dataclass(slots=True)
class _Raw:
    """A value that nobody has read yet. Not frozen, which would double the cost of making a container."""

    value: Any


@seen_as("dict")
class LazyDict(dict[Any, Any]):
    """A mapping that renders a value when it is read first. A real `dict`, so every filter takes it."""

    __slots__ = ("_path", "_show")

    def __init__(self, raw: Mapping[Any, Any], show: Show, path: str) -> None:
        super().__init__(zip(raw.keys(), map(_Raw, raw.values()), strict=True))
        self._show = show
        self._path = path

    def _read_all(self) -> Self:
        for key in dict.keys(self):
            self[key]
        return self

    def __getitem__(self, key: Any) -> Any:
        value = super().__getitem__(key)
        if type(value) is _Raw:
            value = self._show(value.value, f"{self._path}.{key}")
            super().__setitem__(key, value)
        return value

    def __iter__(self) -> Iterator[Any]:
        # Overridden although it changes nothing: `dict(x)` copies the raw values of a dict without its own `__iter__`.
        return super().__iter__()

    def get(self, key: Any, default: Any = None) -> Any:
        return self[key] if key in self else default  # noqa: SIM401 - this is `get`

    def pop(self, key: Any, *default: Any) -> Any:
        self.get(key)  # renders it, for what `dict` holds may be raw
        return super().pop(key, *default)

    def items(self) -> Any:
        return dict.items(self._read_all())

    def values(self) -> Any:
        return dict.values(self._read_all())

    def twin(self) -> "LazyDict":
        """Another one with the same values, each of which renders what nobody has read yet."""
        twin = LazyDict({}, self._show, self._path)
        dict.update(twin, zip(dict.keys(self), dict.values(self), strict=True))
        return twin

    def copy(self) -> dict[Any, Any]:
        return dict(self.items())

    def __eq__(self, other: object) -> bool:
        return dict.__eq__(self._read_all(), _whole(other))

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None

    def __or__(self, other: Any) -> Any:
        return self.copy() | dict(other)

    def __ror__(self, other: Any) -> Any:
        return dict(other) | self.copy()

    def __repr__(self) -> str:
        return dict.__repr__(self._read_all())


@seen_as("list")
class LazyList(list[Any]):
    """A list that renders an item when it is read first."""

    __slots__ = ("_path", "_show")

    def __init__(self, raw: Iterable[Any], show: Show, path: str) -> None:
        super().__init__(map(_Raw, raw))
        self._show = show
        self._path = path

    def _read(self, index: int) -> Any:
        value = super().__getitem__(index)
        if type(value) is _Raw:
            value = self._show(value.value, f"{self._path}[{index}]")
            super().__setitem__(index, value)
        return value

    def _read_all(self) -> Self:
        for index in range(len(self)):
            self._read(index)
        return self

    def __getitem__(self, key: Any) -> Any:
        return (
            list.__getitem__(self._read_all(), key)
            if isinstance(key, slice)
            else self._read(key)
        )

    def __iter__(self) -> Iterator[Any]:
        index = 0
        while index < len(self):  # the template may append while it loops
            yield self._read(index)
            index += 1

    def __reversed__(self) -> Iterator[Any]:
        return list.__reversed__(self._read_all())

    def __contains__(self, item: object) -> bool:
        return list.__contains__(self._read_all(), item)

    def __eq__(self, other: object) -> bool:
        return list.__eq__(self._read_all(), _whole(other))

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None

    def __lt__(self, other: list[Any]) -> bool:
        return list(self) < list(other)

    def __gt__(self, other: list[Any]) -> bool:
        return list(self) > list(other)

    def __add__(self, other: list[Any]) -> list[Any]:
        # Another of these answers by its own `__radd__`, so no value stays raw.
        return list(self) + other

    def __radd__(self, other: list[Any]) -> list[Any]:
        return other + list(self)

    def __mul__(self, times: SupportsIndex) -> list[Any]:
        return list(self) * times

    __rmul__ = __mul__

    def __repr__(self) -> str:
        return list.__repr__(self._read_all())

    def twin(self) -> "LazyList":
        """Another one with the same items, each of which renders what nobody has read yet."""
        twin = LazyList((), self._show, self._path)
        list.extend(twin, map(partial(list.__getitem__, self), range(len(self))))
        return twin

    def copy(self) -> list[Any]:
        return list(self)

    def index(self, *args: Any) -> int:
        return list.index(self._read_all(), *args)

    def count(self, value: Any) -> int:
        return list.count(self._read_all(), value)

    def sort(self, **options: Any) -> None:
        list.sort(self._read_all(), **options)

    def remove(self, value: Any) -> None:
        list.remove(self._read_all(), value)

    def pop(self, index: SupportsIndex = -1) -> Any:
        return list.pop(self._read_all(), index)


_LAZY = (LazyDict, LazyList)

_COPY_OF_OWN: Mapping[type, Callable[[Any], Any]] = {dict: dict.copy, list: list.copy}
_COPY_OF_VARIABLE: Mapping[type, Callable[[Any], Any]] = {
    LazyDict: LazyDict.twin,
    LazyList: LazyList.twin,
}


def as_printed(value: Any) -> Any:
    """The value that a node prints: of a template's own list or mapping what it holds now, whatever changes later."""
    copy = _COPY_OF_OWN.get(type(value))
    return copy(value) if copy else value


def own_copy(value: Any) -> Any:
    """The value of a variable that says nothing but another one's name: changing the one leaves the other."""
    return _COPY_OF_VARIABLE.get(type(value), _same)(value)


def _same(value: Any) -> Any:
    return value


def _whole(value: object) -> Any:
    """A container with all its values rendered: `dict` and `list` would compare raw ones."""
    return value._read_all() if isinstance(value, _LAZY) else value  # noqa: SLF001 - this module's own
