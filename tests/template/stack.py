"""The template as a deployed stack: translated, with parameters, references and ARNs filled in.

The names are those of the samples in `events/`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.template.translate import REGION, Template, translate

STACK_NAME = "haproxy-ec2-sync-staging"
PSEUDO = {
    "AWS::AccountId": "123456789012",
    "AWS::Region": REGION,
    "AWS::Partition": "aws",
    "AWS::StackName": STACK_NAME,
    "AWS::StackId": f"arn:aws:cloudformation:{REGION}:123456789012:stack/{STACK_NAME}/"
    "0f3c1a60-cbd5-11f0-8f2e-0a1b2c3d4e5f",
}
ARNS = {
    "AWS::Events::Rule": "arn:aws:events:ap-southeast-2:123456789012:rule/{}",
    "AWS::IAM::Role": "arn:aws:iam::123456789012:role/{}",
    "AWS::Lambda::Function": "arn:aws:lambda:ap-southeast-2:123456789012:function:{}",
    "AWS::Logs::LogGroup": "arn:aws:logs:ap-southeast-2:123456789012:log-group:{}:*",
    "AWS::S3::Bucket": "arn:aws:s3:::{}",
    "AWS::SQS::Queue": "arn:aws:sqs:ap-southeast-2:123456789012:{}",
}
QUEUE_URL = "https://sqs.ap-southeast-2.amazonaws.com/123456789012/{}"


@dataclass(frozen=True, slots=True)
class Stack:
    """What CloudFormation would create, by logical id."""

    parameters: Mapping[str, str]
    resources: Mapping[str, Mapping[str, Any]]
    outputs: Mapping[str, Any]

    def of_type(self, type_name: str) -> dict[str, Any]:
        """Properties of the resources of a type, by logical id."""
        return {
            key: each["Properties"]
            for key, each in self.resources.items()
            if each["Type"] == type_name
        }

    def one(self, type_name: str) -> dict[str, Any]:
        """Properties of the only resource of a type."""
        (properties,) = self.of_type(type_name).values()
        return dict(properties)

    def arn(self, logical_id: str) -> str:
        """The ARN that references to the resource resolve to."""
        return ARNS[self.resources[logical_id]["Type"]].format(
            physical_name(self.resources, logical_id)
        )


def physical_name(resources: Mapping[str, Any], logical_id: str) -> str:
    """As CloudFormation makes names: stack, logical id, something random."""
    if resources[logical_id]["Type"] == "AWS::S3::Bucket":
        return f"{STACK_NAME}-{logical_id.lower()}-1a2b3c4d5e6f"
    return f"{STACK_NAME}-{logical_id}-AbC123dEfGhI"


def deployed(template: Template, **parameters: str) -> Stack:
    """The stack that the template gives with these parameters; an unknown reference is a KeyError."""
    plain = translate(template)
    values = {
        name: parameters.get(name, str(each.get("Default", "")))
        for name, each in plain["Parameters"].items()
    }
    resolver = Resolver(values, plain["Resources"])
    return Stack(
        values, resolver.resolve(plain["Resources"]), resolver.resolve(plain["Outputs"])
    )


@dataclass(frozen=True, slots=True)
class Resolver:
    """Replaces the intrinsics that template.yaml uses, and no others."""

    parameters: Mapping[str, str]
    resources: Mapping[str, Any]

    def resolve(self, node: Any) -> Any:
        """The node without intrinsics; policies written as text are parsed."""
        match node:
            case {"Ref": name, **rest} if not rest:
                return self.ref(name)
            case {"Fn::GetAtt": [name, "Arn"], **rest} if not rest:
                return self.arn(name)
            case {"Fn::Sub": str(text), **rest} if not rest:
                return self.sub(text)
            case dict():
                assert not any(key.startswith("Fn::") for key in node), (
                    f"no rule for {node}"
                )
                return {
                    key: self.policy(key, self.resolve(value))
                    for key, value in node.items()
                }
            case list():
                return [self.resolve(value) for value in node]
        return node

    def ref(self, name: str) -> str:
        """A parameter's value, or the name of a resource."""
        if name in PSEUDO:
            return PSEUDO[name]
        if name in self.parameters:
            return self.parameters[name]
        physical = physical_name(self.resources, name)
        return (
            QUEUE_URL.format(physical)
            if self.resources[name]["Type"] == "AWS::SQS::Queue"
            else physical
        )

    def arn(self, name: str) -> str:
        """The resource's ARN."""
        return ARNS[self.resources[name]["Type"]].format(
            physical_name(self.resources, name)
        )

    def sub(self, text: str) -> str:
        """The text with `${Name}` and `${Name.Arn}` replaced."""

        def value(match: re.Match[str]) -> str:
            name, _, attribute = match[1].partition(".")
            return self.arn(name) if attribute == "Arn" else self.ref(name)

        return re.sub(r"\$\{([A-Za-z0-9:.]+)\}", value, text)

    @staticmethod
    def policy(key: str, value: Any) -> Any:
        """CloudFormation takes a policy as text, too."""
        return (
            json.loads(value)
            if key == "PolicyDocument" and isinstance(value, str)
            else value
        )


def statements(policy: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The statements, with Action and Resource always as lists."""
    for statement in policy["Statement"]:
        lists = {
            key: as_list(statement[key])
            for key in ("Action", "Resource")
            if key in statement
        }
        yield {**statement, **lists}


def as_list(value: Any) -> list[Any]:
    """One or many, as many."""
    return value if isinstance(value, list) else [value]
