"""Puts the stand-in in the place of moto's Run Command, so that a real boto3 client's calls land in it.

The same patch serves tests under `mock_aws` and the moto server of the local system. moto keeps the documents (also
those made by CloudFormation); what it accepts too easily is checked here first.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from moto.core.responses import ActionResult
from moto.core.utils import camelcase_to_underscores
from moto.ssm.models import SimpleSystemManagerBackend, ssm_backends
from moto.ssm.responses import SimpleSystemManagerResponse

from local.cloud.document_text import submitted
from local.run_command.api import OPERATIONS, call
from local.run_command.document import DocumentVersion, parse
from local.run_command.errors import ApiError, NotPlayed
from local.run_command.played import check_request
from local.run_command.request import service_model
from local.run_command.service import RunCommand

type Method = Callable[[SimpleSystemManagerResponse], Any]


@dataclass(frozen=True, slots=True)
class MotoDocuments:
    """The documents that moto keeps for an account and region."""

    account: str
    region: str

    def find(self, name: str, version: str) -> DocumentVersion:
        """That version, parsed."""
        name = name.rpartition("document/")[2]
        versions = ssm_backends[self.account][self.region]._documents.get(name)  # noqa: SLF001 - moto offers no lookup
        if versions is None:
            raise ApiError(
                "InvalidDocument", f"Document with name {name} does not exist."
            )
        number = {
            "$DEFAULT": versions.default_version,
            "$LATEST": versions.latest_version,
        }.get(version, version)
        found = versions.find_by_version(number)
        if found is None:
            raise ApiError(
                "InvalidDocumentVersion", f"Document {name} has no version {version}."
            )
        return DocumentVersion(
            name, number, found.content, parse(found.content, found.document_format)
        )


def run_command_on_moto(
    account: str = "123456789012", region: str = "eu-west-1", **options: Any
) -> RunCommand:
    """A service that finds documents in moto; `options` are fields of `RunCommand`."""
    return RunCommand(MotoDocuments(account, region), account, region, **options)


@contextmanager
def attach(service: RunCommand) -> Iterator[RunCommand]:
    """While this lasts, `service` answers Run Command's calls in this process's moto, and all else of SSM is refused.

    moto goes on to answer for the documents that it keeps.
    """
    checks: dict[str, Any] = {
        "create_document": _create_document(SimpleSystemManagerBackend.create_document),
        "update_document": _update_document(SimpleSystemManagerBackend.update_document),
    }
    with (
        patch.multiple(SimpleSystemManagerResponse, create=True, **_methods(service)),
        patch.multiple(SimpleSystemManagerBackend, **checks),
    ):
        yield service


def _methods(service: RunCommand) -> dict[str, Any]:
    """A method for each operation of the API, whether moto has it or not."""
    methods: dict[str, Method] = {}
    for operation in service_model().operation_names:
        name = camelcase_to_underscores(operation)
        original: Any = getattr(SimpleSystemManagerResponse, name, None)
        methods[name] = (
            _answer(service, operation)
            if operation in OPERATIONS
            else _checked(operation, original)
        )
    return methods


def _answer(service: RunCommand, operation: str) -> Method:
    def method(response: SimpleSystemManagerResponse) -> ActionResult:
        if response.region != service.region:
            raise ApiError(
                "InternalServerError",
                f"The stand-in serves {service.region}, not {response.region}",
            )
        return ActionResult(call(service, operation, json.loads(response.body)))

    return method


def _checked(operation: str, original: Method) -> Method:
    """Leave it to moto, which has all that is played, after the refusal of what is not."""

    def method(response: SimpleSystemManagerResponse) -> Any:
        check_request(operation, json.loads(response.body))
        return original(response)

    return method


def _create_document(original: Callable[..., Any]) -> Callable[..., Any]:
    """CloudFormation hands over content as a mapping and leaves the defaults out; both end as checked text."""

    def create(backend: SimpleSystemManagerBackend, **request: Any) -> Any:
        request = _submitted(request)
        request["document_type"] = request.get("document_type") or "Command"
        if request["document_type"] != "Command":
            raise NotPlayed(f"documents of type {request['document_type']}")
        parse(request["content"], request["document_format"])
        return original(backend, **request)

    return create


def _update_document(original: Callable[..., Any]) -> Callable[..., Any]:
    def update(backend: SimpleSystemManagerBackend, **request: Any) -> Any:
        request = _submitted(request)
        parse(request["content"], request["document_format"])
        return original(backend, **request)

    return update


def _submitted(request: dict[str, Any]) -> dict[str, Any]:
    """CloudFormation's handler submits content as text, and names the format."""
    content = request["content"]
    text = content if isinstance(content, str) else submitted(content)
    document_format = request.get("document_format") or "JSON"
    return {**request, "content": text, "document_format": document_format}
