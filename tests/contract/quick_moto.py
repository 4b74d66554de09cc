"""Moto works out again for each request what is always the same; here it remembers. Nothing it answers is another."""

import importlib
from functools import cache
from types import ModuleType
from typing import Any

import pytest
from botocore.useragent import UserAgentString
from moto.core.serialize import AttributePickerContext, XFormedAttributePicker
from moto.core.utils import method_names_from_class
from moto.ec2.models import ec2_backends
from moto.ec2.responses import EC2Response
from moto.s3.models import S3Backend

S3_URLS = "moto.s3.urls"
METHODS = "moto.core.responses.method_names_from_class"
_answer = EC2Response.call_action
_names_of = XFormedAttributePicker.get_possible_keys
_found: dict[tuple[object, ...], tuple[str, ...]] = {}


def install(patch: pytest.MonkeyPatch) -> None:
    """To be undone with the patch."""
    # Most of the time that a contract test took went into these.
    patch.setattr(XFormedAttributePicker, "get_possible_keys", _names)
    patch.setattr(S3Backend, "_url_module", property(_url_module))
    patch.setattr(EC2Response, "call_action", _answer_of_ec2)
    patch.setattr(METHODS, cache(method_names_from_class))
    # Nobody reads who asks.
    patch.setattr(UserAgentString, "to_string", lambda _agent: "tests")


def forget(account: str, region: str) -> None:
    """Of the account's instances, since one has changed by itself."""
    vars(ec2_backends[account][region]).pop("said_before", None)


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


def _answer_of_ec2(self: EC2Response) -> Any:
    """What it answered to the same question, while nobody has asked for more than a description."""
    # A reset of moto takes the backend's variables, and so what is remembered.
    said = vars(self.ec2_backend).setdefault("said_before", {})
    if self._get_action() != "DescribeInstances":
        said.clear()
        return _answer(self)
    question = repr(sorted(self.querystring.items()))
    if question not in said:
        said[question] = status, headers, body = _answer(self)
        return status, {**headers}, body
    status, headers, body = said[question]
    # With a request id of its own, which is the next of moto's random numbers.
    return status, *self._enrich_response({**headers}, body)
