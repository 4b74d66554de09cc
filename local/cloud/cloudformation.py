"""Stands for CloudFormation's macros: `AWS::Include` and `AWS::Serverless`, and for what moto skips of our stack.

moto takes a template as it is, ignores the policies of queues and buckets, names a document by chance and not by its
stack, and gives a stack made by change set (as `sam deploy` makes it) no outputs; where `AWS::NoValue` stands in a list
it leaves a hole. An update makes it replace rules, whose names queue policies hold, and forget what it cannot update;
here a rule keeps its name, and the others stay as they were. The transform is AWS's own translator; it refuses what the
service refuses.
"""

import json
from importlib import import_module
from typing import Any

import moto.cloudformation.models as moto_models
from moto.core.common_models import CloudFormationModel
from moto.events.models import Rule
from moto.s3.models import s3_backends
from moto.sqs.models import sqs_backends
from moto.ssm.models import Document, ssm_backends
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

from local.cloud import ACCOUNT, PARTITION
from local.cloud.document_text import submitted

SAM = "AWS::Serverless-2016-10-31"


def included(node: Any) -> Any:
    """The template with each `AWS::Include` replaced by the object in S3 that it names."""
    match node:
        case {
            "Fn::Transform": {
                "Name": "AWS::Include",
                "Parameters": {"Location": str(location)},
            }
        }:
            bucket, _, key = location.removeprefix("s3://").partition("/")
            snippet: Any = s3_backends[ACCOUNT][PARTITION].get_object(bucket, key)
            return yaml_parse(snippet.value.decode())
        case dict():
            return {key: included(value) for key, value in node.items()}
        case list():
            return list(map(included, node))
        case _:
            return node


def expanded(text: str) -> str:
    """The template that CloudFormation would really deploy, as JSON."""
    template = included(yaml_parse(text))
    if template.get("Transform") == SAM:
        template = Translator({}, Parser()).translate(template, {})
    return json.dumps(template)


class QueuePolicy(CloudFormationModel):
    """`AWS::SQS::QueuePolicy`: EventBridge may only send what it allows (see `eventbridge`)."""

    def __init__(self, name: str) -> None:
        self.physical_resource_id = name

    @staticmethod
    def cloudformation_name_type() -> str:
        """No property holds its name."""
        return ""

    @staticmethod
    def cloudformation_type() -> str:
        """As templates spell it."""
        return "AWS::SQS::QueuePolicy"

    @classmethod
    def create_from_cloudformation_json(
        cls,
        resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
        **_: Any,
    ) -> "QueuePolicy":
        """Put the policy on each queue that it names by URL."""
        properties = cloudformation_json["Properties"]
        for url in properties["Queues"]:
            name = url.rsplit("/", 1)[-1]
            policy = {"Policy": json.dumps(properties["PolicyDocument"])}
            sqs_backends[account_id][region_name].set_queue_attributes(name, policy)
        return cls(resource_name)


class BucketPolicy(CloudFormationModel):
    """`AWS::S3::BucketPolicy`: requests are judged by it (see `access`)."""

    def __init__(self, bucket: str) -> None:
        self.physical_resource_id = bucket

    @staticmethod
    def cloudformation_name_type() -> str:
        """No property holds its name."""
        return ""

    @staticmethod
    def cloudformation_type() -> str:
        """As templates spell it."""
        return "AWS::S3::BucketPolicy"

    @classmethod
    def create_from_cloudformation_json(
        cls,
        resource_name: str,  # noqa: ARG003  # moto's signature
        cloudformation_json: Any,
        account_id: str,
        region_name: str,  # noqa: ARG003
        **_: Any,
    ) -> "BucketPolicy":
        """Put it on its bucket."""
        properties = cloudformation_json["Properties"]
        text = json.dumps(properties["PolicyDocument"]).encode()
        s3_backends[account_id][PARTITION].put_bucket_policy(properties["Bucket"], text)
        return cls(properties["Bucket"])

    @classmethod
    def update_from_cloudformation_json(
        cls,
        original_resource: "BucketPolicy",  # noqa: ARG003
        new_resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
    ) -> "BucketPolicy":
        """Put it in the place of the old one."""
        return cls.create_from_cloudformation_json(
            new_resource_name, cloudformation_json, account_id, region_name
        )

    def delete(self, *_: str) -> None:
        """The bucket stays without, if it stays: moto deletes in no order."""
        bucket = s3_backends[ACCOUNT][PARTITION].buckets.get(self.physical_resource_id)
        if bucket:
            bucket.policy = None


replaced = Document.update_from_cloudformation_json.__func__  # type: ignore[attr-defined]


def new_version(
    cls: type[Document],
    /,
    original_resource: Document,
    cloudformation_json: Any,
    **more: Any,
) -> Document:
    """`UpdateMethod: NewVersion`: the document keeps its name and its versions, and the newest becomes the default.

    Any other update replaces the document, as moto has it.
    """
    properties, name = cloudformation_json["Properties"], original_resource.name
    if properties.get("UpdateMethod") != "NewVersion":
        changed = {"cloudformation_json": cloudformation_json, **more}
        document: Document = replaced(cls, original_resource, **changed)
        return document
    content = properties["Content"]
    if submitted(content) == original_resource.content:
        return original_resource
    ssm = ssm_backends[more["account_id"]][more["region_name"]]
    described = ssm.update_document(
        content=content,
        attachments=[],
        name=name,
        version_name="",
        document_version="$LATEST",
        document_format=properties.get("DocumentFormat", ""),
        target_type="",
    )
    version = described["DocumentVersion"]
    ssm.update_document_default_version(name, version)
    return ssm._documents[name].versions[version]  # moto offers no lookup


def install() -> None:
    """Teach this process's moto the macros, queue policies and outputs."""
    responses: Any = import_module("moto.cloudformation.responses")
    _update_in_place()
    _leave_no_holes()
    plain = responses.get_stack_from_s3_url
    execute = moto_models.CloudFormationBackend.execute_change_set

    def from_s3(template_url: str, account_id: str, partition: str) -> str:
        return expanded(plain(template_url, account_id, partition))

    def execute_change_set(
        self: moto_models.CloudFormationBackend,
        change_set_name: str,
        stack_name: str | None = None,
    ) -> None:
        execute(self, change_set_name, stack_name)
        # As moto does for stacks made without a change set.
        for stack in self.stacks.values():
            if isinstance(stack.template, str):
                stack._parse_template()
                stack.output_map = stack._create_output_map()

    create = Document.create_from_cloudformation_json.__func__  # type: ignore[attr-defined]

    def create_named(
        cls: type, name: str, resource: dict[str, Any], *args: Any, **more: Any
    ) -> Document:
        properties = {"Name": name} | resource["Properties"]
        named = resource | {"Properties": properties}
        document: Document = create(cls, name, named, *args, **more)
        return document

    Document.create_from_cloudformation_json = classmethod(create_named)  # type: ignore[assignment]
    Document.update_from_cloudformation_json = classmethod(new_version)  # type: ignore[assignment]
    responses.get_stack_from_s3_url = from_s3
    moto_models.CloudFormationBackend.execute_change_set = execute_change_set  # type: ignore[method-assign]


def _leave_no_holes() -> None:
    """Of a list `AWS::NoValue` is no item."""
    parsing: Any = import_module("moto.cloudformation.parsing")
    cleaned = parsing.clean_json

    def without_holes(node: Any, resources: Any) -> Any:
        found = cleaned(node, resources)
        is_list = isinstance(node, list)
        return [each for each in found if each is not None] if is_list else found

    parsing.clean_json = without_holes


def _update_in_place() -> None:
    """As CloudFormation does where no property demands a replacement."""
    parsing: Any = import_module("moto.cloudformation.parsing")
    update = parsing.parse_and_update_resource

    def updated(name: str, resource: Any, resources: Any, **where: str) -> Any:
        original = resources[name]
        return update(name, resource, resources, **where) or original

    def updated_rule(
        cls: type[Rule],
        original_resource: Rule,
        new_resource_name: str,  # noqa: ARG001  # moto's signature
        cloudformation_json: Any,
        **where: str,
    ) -> Rule:
        return cls.create_from_cloudformation_json(
            original_resource.name, cloudformation_json, **where
        )

    parsing.parse_and_update_resource = updated
    Rule.update_from_cloudformation_json = classmethod(updated_rule)  # type: ignore[arg-type, assignment, method-assign]
