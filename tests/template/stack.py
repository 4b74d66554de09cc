"""The template as a deployed stack: translated, with parameters, references and ARNs filled in.

The names are those of the samples in `events/`.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
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
NO_VALUE = "AWS::NoValue"
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
    conditions = Resolver(values, {}).resolve(plain.get("Conditions", {}))
    resolver = Resolver(values, plain["Resources"], conditions)
    return Stack(
        values, resolver.resolve(plain["Resources"]), resolver.resolve(plain["Outputs"])
    )


# Of values that are resolved.
FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "Fn::Equals": lambda left, right: left == right,
    "Fn::Not": lambda value: not value,
    "Fn::Select": lambda index, values: values[int(index)],
    "Fn::Split": lambda separator, text: text.split(separator),
}


@dataclass(frozen=True, slots=True)
class Resolver:
    """Replaces the intrinsics that template.yaml uses, and no others."""

    parameters: Mapping[str, str]
    resources: Mapping[str, Any]
    conditions: Mapping[str, bool] = field(default_factory=dict)

    def resolve(self, node: Any) -> Any:
        """The node without intrinsics; policies written as text are parsed."""
        match node:
            case {"Ref": name, **rest} if not rest:
                return self.ref(name)
            case dict():
                (name, *others) = node or [""]
                return (
                    self.called(name, node[name])
                    if name.startswith("Fn::") and not others
                    else self.without_no_value(node)
                )
            case list():
                return [self.resolve(value) for value in node]
        return node

    def called(self, function: str, argument: Any) -> Any:
        """What an intrinsic function gives; those of conditions, too."""
        match function, argument:
            case "Fn::GetAtt", [name, "Arn"]:
                return self.arn(name)
            case "Fn::Sub", arguments:
                return self.sub(*as_list(arguments))
            case "Fn::If", [condition, then, otherwise]:
                return self.resolve(then if self.conditions[condition] else otherwise)
        values = self.resolve(argument)
        return FUNCTIONS[function](*values)

    def without_no_value(self, node: Mapping[str, Any]) -> dict[str, Any]:
        """The properties, but for those that are left out."""
        assert not any(key.startswith("Fn::") for key in node), f"no rule for {node}"
        resolved = {key: self.resolve(value) for key, value in node.items()}
        return {
            key: self.policy(key, value)
            for key, value in resolved.items()
            if value != NO_VALUE
        }

    def ref(self, name: str) -> str:
        """A parameter's value, or the name of a resource; `NO_VALUE` for a property that is left out."""
        if name == NO_VALUE:
            return NO_VALUE
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

    def sub(self, text: str, names: Mapping[str, Any] | None = None) -> str:
        """The text with `${Name}` and `${Name.Arn}` replaced, and by names of its own."""
        own: dict[str, str] = self.resolve(names or {})

        def value(match: re.Match[str]) -> str:
            name, _, attribute = match[1].partition(".")
            if name in own:
                return own[name]
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
