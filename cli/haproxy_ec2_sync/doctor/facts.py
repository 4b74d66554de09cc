"""What AWS says, as far as it is judged; each is read from the answer of one API."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

Raw = Mapping[str, Any]
"""An answer of boto3, or a part of one."""


def last(text: str, separator: str = "/") -> str:
    """What stands behind the last separator: the name that ends an ARN or an address."""
    return text.rsplit(separator, 1)[-1]


def failed(failure: Raw) -> str:
    """What failed, by an answer of the function: operation, code and message, and since when."""
    parts = [failure["operation"], failure["code"], failure["message"]]
    words = ": ".join(filter(None, parts))
    return f"{words} (since {failure['since_iso']})"


@dataclass(frozen=True, slots=True)
class Stack:
    """CloudFormation's word."""

    name: str
    region: str
    status: str
    reason: str
    outputs: Mapping[str, str]
    parameters: Mapping[str, str]

    @classmethod
    def read(cls, raw: Raw, region: str) -> "Stack":
        """From DescribeStacks."""
        outputs = {
            each["OutputKey"]: each["OutputValue"] for each in raw.get("Outputs", ())
        }
        parameters = {
            each["ParameterKey"]: each.get("ParameterValue", "")
            for each in raw.get("Parameters", ())
        }
        reason = raw.get("StackStatusReason", "")
        name, status = raw["StackName"], raw["StackStatus"]
        return cls(name, region, status, reason, outputs, parameters)

    def listed(self, parameter: str) -> tuple[str, ...]:
        """What a parameter has, comma separated."""
        return tuple(filter(None, self.parameters.get(parameter, "").split(",")))


@dataclass(frozen=True, slots=True)
class Function:
    """Lambda's word; `variables` are its environment."""

    name: str
    state: str
    update: str
    reason: str
    role_arn: str
    variables: Mapping[str, str]

    @classmethod
    def read(cls, raw: Raw) -> "Function":
        """From GetFunctionConfiguration."""
        return cls(
            name=raw["FunctionName"],
            # Those of long ago may have neither.
            state=raw.get("State", "Active"),
            update=raw.get("LastUpdateStatus", "Successful"),
            reason=raw.get("LastUpdateStatusReason") or raw.get("StateReason", ""),
            role_arn=raw["Role"],
            variables=raw.get("Environment", {}).get("Variables", {}),
        )


@dataclass(frozen=True, slots=True)
class EventSource:
    """A queue that Lambda polls for the function."""

    queue: str
    state: str
    uuid: str

    @classmethod
    def read(cls, raw: Raw) -> "EventSource":
        """From ListEventSourceMappings."""
        return cls(
            last(raw.get("EventSourceArn", ""), ":"),
            raw.get("State", ""),
            raw["UUID"],
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of EventBridge, and the names of what it sends to; a deleted one has no ARN."""

    name: str
    arn: str = ""
    state: str = ""
    targets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Queue:
    """SQS's word; `rules` are the patterns of those whom its policy lets send."""

    name: str
    waiting: int
    in_flight: int
    rules: tuple[str, ...]

    @classmethod
    def read(cls, url: str, attributes: Mapping[str, str]) -> "Queue":
        """From GetQueueAttributes."""
        return cls(
            last(url),
            int(attributes["ApproximateNumberOfMessages"]),
            int(attributes["ApproximateNumberOfMessagesNotVisible"]),
            _senders(json.loads(attributes.get("Policy") or "{}")),
        )

    def takes_from(self, rule: Rule) -> bool:
        """Whether the policy lets the rule send here."""
        return any(fnmatchcase(rule.arn, pattern) for pattern in self.rules)


def _senders(policy: Raw) -> tuple[str, ...]:
    """Whom a queue's policy lets send, by the source that it names; all, where it names none."""
    return tuple(
        arn
        for statement in _listed(policy.get("Statement", []))
        if statement["Effect"] == "Allow"
        for arn in _sources(statement)
    )


def _sources(statement: Raw) -> list[str]:
    named = [
        arn
        for keys in statement.get("Condition", {}).values()
        for key, arns in keys.items()
        if key.lower() == "aws:sourcearn"
        for arn in _listed(arns)
    ]
    return named if statement.get("Condition") else ["*"]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@dataclass(frozen=True, slots=True)
class BucketPolicy:
    """S3's word: whom each fence spares, by the keys around which it is; the bucket itself is the key of no letters.

    A fence is a statement that denies everybody else all but reading; whatever another one is, it is none.
    """

    spared: Mapping[frozenset[str], tuple[str, ...]]

    @classmethod
    def read(cls, text: str) -> "BucketPolicy":
        """From GetBucketPolicy; empty where there is none."""
        statements = _listed(json.loads(text or "{}").get("Statement", []))
        fences = filter(_is_fence, statements)
        return cls({_keys(each): _spared(each) for each in fences})

    def __getitem__(self, keys: Iterable[str]) -> tuple[str, ...]:
        """Whom the fence around these spares; nobody where there is no such fence."""
        return self.spared.get(frozenset(keys), ())


def _is_fence(statement: Raw) -> bool:
    operators = statement.get("Condition", {})
    return all(
        (
            statement["Effect"] == "Deny",
            statement.get("Principal") in ("*", {"AWS": "*"}),
            {*_listed(statement.get("NotAction", []))} == {"s3:Get*", "s3:List*"},
            [*operators] == ["ArnNotLike"],
            [*operators.get("ArnNotLike", {})] == ["aws:PrincipalArn"],
        )
    )


def _spared(statement: Raw) -> tuple[str, ...]:
    return tuple(_listed(statement["Condition"]["ArnNotLike"]["aws:PrincipalArn"]))


def _keys(statement: Raw) -> frozenset[str]:
    """Of the bucket, in whose policy no other may be."""
    named = _listed(statement.get("Resource", []))
    return frozenset(arn.partition("/")[2] for arn in named)


@dataclass(frozen=True, slots=True)
class Document:
    """SSM's word on the newest version."""

    name: str
    status: str
    version: str
    reason: str

    @classmethod
    def read(cls, raw: Raw) -> "Document":
        """From DescribeDocument."""
        return cls(
            raw["Name"],
            raw.get("Status", "unknown"),
            raw["DocumentVersion"],
            raw.get("StatusInformation", ""),
        )


@dataclass(frozen=True, slots=True)
class Proxy:
    """A running instance whose tags say that it is a proxy."""

    instance_id: str
    name: str
    has_public_address: bool
    """Of IPv4 or of IPv6."""
    subnet: str
    vpc: str
    profile: str

    @classmethod
    def read(cls, raw: Raw) -> "Proxy":
        """From DescribeInstances; one without a tag Name is called by its private DNS name."""
        tags = _tags(raw)
        return cls(
            instance_id=raw["InstanceId"],
            name=tags.get("Name") or raw.get("PrivateDnsName", "").partition(".")[0],
            has_public_address=bool(_public_addresses(raw)),
            subnet=raw.get("SubnetId", ""),
            vpc=raw.get("VpcId", ""),
            profile=last(raw.get("IamInstanceProfile", {}).get("Arn", "")),
        )

    def __str__(self) -> str:
        """Name and id."""
        return f"{self.name} ({self.instance_id})" if self.name else self.instance_id


def _tags(raw: Raw) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in raw.get("Tags", ())}


def _public_addresses(raw: Raw) -> list[Any]:
    """An IPv6 address is one."""
    interfaces = raw.get("NetworkInterfaces", ())
    return [
        *filter(None, [raw.get("PublicIpAddress")]),
        *(each for one in interfaces for each in one.get("Ipv6Addresses", ())),
    ]


@dataclass(frozen=True, slots=True)
class Hook:
    """A lifecycle hook, and for how long it holds an instance up without a heartbeat."""

    name: str
    transition: str
    seconds: float

    @classmethod
    def read(cls, raw: Raw) -> "Hook":
        """From DescribeLifecycleHooks."""
        return cls(
            raw["LifecycleHookName"],
            raw["LifecycleTransition"],
            raw.get("HeartbeatTimeout", 3600.0),
        )


@dataclass(frozen=True, slots=True)
class Group:
    """An Auto Scaling group, its own tags and all its hooks."""

    name: str
    tags: Mapping[str, str]
    hooks: tuple[Hook, ...]

    @classmethod
    def read(cls, raw: Raw, hooks: Sequence[Raw]) -> "Group":
        """From DescribeAutoScalingGroups and DescribeLifecycleHooks."""
        name = raw["AutoScalingGroupName"]
        return cls(name, _tags(raw), tuple(map(Hook.read, hooks)))


@dataclass(frozen=True, slots=True)
class Agent:
    """SSM's word on the agent of an instance."""

    ping: str
    version: str

    @property
    def is_online(self) -> bool:
        """Whether a command reaches it."""
        return self.ping == "Online"


@dataclass(frozen=True, slots=True)
class Profile:
    """An instance profile, its role, and what that lets a proxy do, by whatever policy."""

    name: str
    role: str = ""
    may_download: bool = False
    may_register: bool = False


@dataclass(frozen=True, slots=True)
class RouteTable:
    """Where packets of some subnets go. `ways` are the targets of the routes that lead out of the VPC."""

    table_id: str
    vpc: str
    is_main: bool
    subnets: tuple[str, ...]
    ways: tuple[str, ...]
    owner: str

    @classmethod
    def read(cls, raw: Raw) -> "RouteTable":
        """From DescribeRouteTables."""
        links = raw.get("Associations", ())
        return cls(
            table_id=raw["RouteTableId"],
            vpc=raw["VpcId"],
            is_main=any(link.get("Main") for link in links),
            subnets=tuple(link["SubnetId"] for link in links if "SubnetId" in link),
            ways=tuple(filter(None, map(_way, raw.get("Routes", ())))),
            owner=raw.get("OwnerId", ""),
        )


WAYS = (
    *("NatGatewayId", "GatewayId", "EgressOnlyInternetGatewayId"),
    *("TransitGatewayId", "CoreNetworkArn", "VpcPeeringConnectionId"),
    *("NetworkInterfaceId", "InstanceId", "LocalGatewayId", "CarrierGatewayId"),
)
EVERYWHERE = ("0.0.0.0/0", "::/0")
NEAR = ("local", "vpce-")
"""Targets that lead out only where all goes there, as to a firewall. Others may lead to endpoints that VPCs share."""


def _way(route: Raw) -> str:
    """The target of a route that works and leads out; empty for another route."""
    cidrs = (route.get("DestinationCidrBlock"), route.get("DestinationIpv6CidrBlock"))
    target = next((str(route[way]) for way in WAYS if route.get(way)), "")
    leads_out = any(cidr in EVERYWHERE for cidr in cidrs) or not target.startswith(NEAR)
    is_usable = route.get("State", "active") == "active"
    return target if leads_out and is_usable else ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A VPC endpoint that is available, and for whom: the whole VPC by private DNS, or some route tables."""

    vpc: str
    service: str
    is_named: bool
    tables: tuple[str, ...]

    @classmethod
    def read(cls, raw: Raw) -> "Endpoint":
        """From DescribeVpcEndpoints; the service by its last word: ssm, ssmmessages, s3."""
        is_available = raw.get("State", "").lower() == "available"
        is_named = bool(raw.get("PrivateDnsEnabled"))
        return cls(
            raw["VpcId"],
            # An endpoint of VPC Lattice has none.
            last(raw.get("ServiceName", ""), "."),
            is_available and is_named,
            tuple(raw.get("RouteTableIds", ())) if is_available else (),
        )

    def serves(self, table: RouteTable) -> bool:
        """Whether a host behind this route table reaches the service by it."""
        is_here = self.vpc == table.vpc
        return (is_here and self.is_named) or table.table_id in self.tables
