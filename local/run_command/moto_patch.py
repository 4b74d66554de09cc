"""Puts the stand-in in the place of moto's Run Command, so that a real boto3 client's calls land in it.

The same patch serves tests under `mock_aws` and the moto server of the local system. moto keeps the documents (also
those made by CloudFormation); what it accepts too easily is checked here first.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from moto.core.responses import ActionResult
from moto.core.utils import camelcase_to_underscores
from moto.ec2.models import ec2_backends
from moto.ssm.models import Documents as MotoVersions
from moto.ssm.models import SimpleSystemManagerBackend, ssm_backends
from moto.ssm.responses import SimpleSystemManagerResponse

from local.run_command.api import OPERATIONS, call
from local.run_command.document import Document, parse
from local.run_command.errors import ApiError
from local.run_command.service import RunCommand


@dataclass(frozen=True, slots=True)
class MotoDocuments:
    """The documents that moto keeps for an account and region."""

    account: str
    region: str

    def find(self, name: str, version: str) -> Document:
        """That version, parsed."""
        name = name.rpartition("document/")[2]
        versions = ssm_backends[self.account][self.region]._documents.get(name)  # noqa: SLF001 - moto offers no lookup
        if versions is None:
            raise ApiError("InvalidDocument", f"Document with name {name} does not exist.")
        number = {"$DEFAULT": versions.default_version, "$LATEST": versions.latest_version}.get(version, version)
        found = versions.find_by_version(number)
        if found is None:
            raise ApiError("InvalidDocumentVersion", f"Document {name} has no version {version}.")
        return Document(name, number, found.content, parse(found.content, found.document_format))


def moto_tags(account: str, region: str) -> Callable[[str], Mapping[str, str]]:
    """Tags of an instance as moto's EC2 knows them."""

    def tags_of(instance_id: str) -> Mapping[str, str]:
        tags = ec2_backends[account][region].describe_tags(filters={"resource-id": [instance_id]})
        return {tag["key"]: tag["value"] for tag in tags}

    return tags_of


def run_command_on_moto(account: str = "123456789012", region: str = "eu-west-1", **options: Any) -> RunCommand:
    """A service that finds documents and tags in moto; `options` are fields of `RunCommand`."""
    options.setdefault("tags_of", moto_tags(account, region))
    return RunCommand(MotoDocuments(account, region), account, region, **options)


@contextmanager
def attach(service: RunCommand) -> Iterator[RunCommand]:
    """While this lasts, Run Command's calls in this process's moto are answered by `service`."""
    with ExitStack() as stack:
        for operation in OPERATIONS:
            method = camelcase_to_underscores(operation)
            stack.enter_context(
                patch.object(SimpleSystemManagerResponse, method, _answer(service, operation), create=True)
            )
        for name, replacement in (("create_document", _create_document), ("update_document", _update_document)):
            original = getattr(SimpleSystemManagerBackend, name)
            stack.enter_context(patch.object(SimpleSystemManagerBackend, name, replacement(original)))
        stack.enter_context(patch.object(MotoVersions, "find", _find(MotoVersions.find)))
        yield service


def _answer(service: RunCommand, operation: str) -> Callable[[SimpleSystemManagerResponse], ActionResult]:
    def method(response: SimpleSystemManagerResponse) -> ActionResult:
        if response.region != service.region:
            raise ApiError("InternalServerError", f"The stand-in serves {service.region}, not {response.region}")
        return ActionResult(call(service, operation, json.loads(response.body)))

    return method


def _create_document(original: Callable[..., Any]) -> Callable[..., Any]:
    """CloudFormation hands over content as a mapping and leaves the defaults out; both end as checked text."""

    def create(backend: SimpleSystemManagerBackend, **request: Any) -> Any:
        request["document_format"] = request.get("document_format") or "JSON"
        request["document_type"] = request.get("document_type") or "Command"
        if not isinstance(request["content"], str):
            request["content"] = json.dumps(request["content"])
        if request["document_type"] == "Command":
            parse(request["content"], request["document_format"])
        return original(backend, **request)

    return create


def _update_document(original: Callable[..., Any]) -> Callable[..., Any]:
    def update(backend: SimpleSystemManagerBackend, **request: Any) -> Any:
        parse(request["content"], request["document_format"])
        return original(backend, **request)

    return update


def _find(original: Callable[..., Any]) -> Callable[..., Any]:
    """`$DEFAULT` is a version too, and an unknown one is InvalidDocumentVersion."""

    def find(versions: MotoVersions, document_version: str | None = None, *args: Any, **options: Any) -> Any:
        if document_version == "$DEFAULT":
            document_version = None
        if document_version not in {None, "", "$LATEST"} and document_version not in versions.versions:
            raise ApiError("InvalidDocumentVersion", f"Version {document_version} does not exist")
        return original(versions, document_version, *args, **options)

    return find
