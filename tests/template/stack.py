"""The template as a deployed stack: translated, with parameters, references and ARNs filled in.

The names are those of the samples in `events/`.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from haproxy_sync.aws import url_suffix
from tests.template.translate import REGION, Template, translate

ACCOUNT = "123456789012"
STACK_NAME = "haproxy-ec2-sync-staging"
type Pseudo = Mapping[str, str]


def pseudo(partition: str, region: str, account: str, name: str) -> Pseudo:
    """CloudFormation's own parameters, of a stack in that place."""
    return {
        "AWS::AccountId": account,
        "AWS::Region": region,
        "AWS::Partition": partition,
        "AWS::StackName": name,
        "AWS::URLSuffix": url_suffix(region),
        "AWS::StackId": f"arn:{partition}:cloudformation:{region}:{account}:stack/{name}/"
        "0f3c1a60-cbd5-11f0-8f2e-0a1b2c3d4e5f",
    }


PSEUDO = pseudo("aws", REGION, ACCOUNT, STACK_NAME)
# The service of an ARN and its end, by the types whose ARNs the template uses.
ARNS = {
    "AWS::Events::Rule": ("events", "rule/{}"),
    "AWS::IAM::Role": ("iam", "role/{}"),
    "AWS::Lambda::Function": ("lambda", "function:{}"),
    "AWS::Logs::LogGroup": ("logs", "log-group:{}:*"),
    "AWS::S3::Bucket": ("s3", "{}"),
    "AWS::SQS::Queue": ("sqs", "{}"),
}
# Between them stand region and account, but for these.
OWNERS = {"iam": ("", "AWS::AccountId"), "s3": ("", "")}
NO_VALUE = "AWS::NoValue"


@dataclass(frozen=True, slots=True)
class Stack:
    """What CloudFormation would create, by logical id, and the translated template that says so."""

    template: Template
    parameters: Mapping[str, str]
    resources: Mapping[str, Mapping[str, Any]]
    outputs: Mapping[str, Any]
    resolver: "Resolver"

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
        return self.resolver.arn(logical_id)

    def text(self, text: str) -> str:
        """What `Fn::Sub` makes of the text: rules name resources and parameters as the template does.

        `${LowerStackName}` is how names of buckets begin.
        """
        name = self.resolver.place["AWS::StackName"].lower()
        return self.resolver.sub(text, {"LowerStackName": name})


def deployed(template: Template, **parameters: str) -> Stack:
    """The stack that the template gives with these parameters; an unknown reference is a KeyError."""
    return placed(translate(template), parameters, PSEUDO)


def placed(plain: Template, parameters: Mapping[str, str], place: Pseudo) -> Stack:
    """The stack that a translated template gives there; an unknown reference is a KeyError."""
    values = {
        name: parameters.get(name, str(each.get("Default", "")))
        for name, each in plain["Parameters"].items()
    }
    bare = Resolver(values, plain["Resources"], place=place)
    resolver = replace(bare, conditions=bare.resolve(plain.get("Conditions", {})))
    return Stack(
        plain,
        values,
        resolver.resolve(plain["Resources"]),
        resolver.resolve(plain["Outputs"]),
        resolver,
    )


# Of values that are resolved.
FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "Fn::Equals": lambda left, right: left == right,
    "Fn::Not": lambda value: not value,
    "Fn::Or": lambda *values: any(values),
    "Fn::Select": lambda index, values: values[int(index)],
    "Fn::Split": lambda separator, text: text.split(separator),
}


@dataclass(frozen=True, slots=True)
class Resolver:
    """Replaces the intrinsics that template.yaml uses, and no others."""

    parameters: Mapping[str, str]
    resources: Mapping[str, Any]
    conditions: Mapping[str, bool] = field(default_factory=dict)
    place: Pseudo = field(default_factory=lambda: PSEUDO)

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
                values = [self.resolve(value) for value in node]
                return [value for value in values if value != NO_VALUE]
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
        known = {**self.place, **self.parameters}
        if name in known:
            return known[name]
        is_queue = self.resources[name]["Type"] == "AWS::SQS::Queue"
        return self.queue_url(name) if is_queue else self.physical_name(name)

    def physical_name(self, logical_id: str) -> str:
        """As CloudFormation makes names: stack, logical id, something random."""
        stack = self.place["AWS::StackName"]
        if self.resources[logical_id]["Type"] == "AWS::S3::Bucket":
            return f"{stack}-{logical_id}-1a2b3c4d5e6f".lower()
        return f"{stack}-{logical_id}-AbC123dEfGhI"

    def queue_url(self, logical_id: str) -> str:
        """Where a queue is."""
        region, account = self.place["AWS::Region"], self.place["AWS::AccountId"]
        return f"https://sqs.{region}.amazonaws.com/{account}/{self.physical_name(logical_id)}"

    def arn(self, logical_id: str) -> str:
        """The resource's ARN."""
        service, rest = ARNS[self.resources[logical_id]["Type"]]
        keys = OWNERS.get(service, ("AWS::Region", "AWS::AccountId"))
        owner = [self.place.get(key, "") for key in keys]
        name = rest.format(self.physical_name(logical_id))
        return ":".join(["arn", self.place["AWS::Partition"], service, *owner, name])

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
