"""Moto works out again for each request what is always the same; here it remembers. Nothing it answers is another."""

import importlib
from types import ModuleType
from typing import Any

import pytest
from moto.core.serialize import AttributePickerContext, XFormedAttributePicker
from moto.s3.models import S3Backend

S3_URLS = "moto.s3.urls"
_names_of = XFormedAttributePicker.get_possible_keys
_found: dict[tuple[object, ...], tuple[str, ...]] = {}


def install(patch: pytest.MonkeyPatch) -> None:
    """To be undone with the patch."""
    # Half of the time that a contract test took went into these two.
    patch.setattr(XFormedAttributePicker, "get_possible_keys", _names)
    patch.setattr(S3Backend, "_url_module", property(_url_module))


def _names(
    self: XFormedAttributePicker, context: AttributePickerContext
) -> tuple[str, ...]:
    """The names under which a member of an answer may be an attribute: its shape and the class of the object decide."""
    key = (context.key, context.shape, type(context.obj))
    if key not in _found:
        _found[key] = tuple(dict.fromkeys(_names_of(self, context)))
    return _found[key]


def _url_module(_: Any) -> ModuleType:
    """It is reloaded for each request, in case a variable of the environment has changed; none of ours does."""
    return importlib.import_module(S3_URLS)
