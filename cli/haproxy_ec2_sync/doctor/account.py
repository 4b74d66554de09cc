"""The operator's account: questions to AWS that read only, each asked once, as facts. `Unanswered` if it fails."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any, TypeVar, cast

from haproxy_ec2_sync import function
from haproxy_ec2_sync.doctor.facts import (
    Agent,
    BucketPolicy,
    Document,
    Endpoint,
    EventSource,
    Function,
    Group,
    Profile,
    Proxy,
    Queue,
    Raw,
    RouteTable,
    Rule,
    Stack,
    last,
)
from haproxy_ec2_sync.errors import Failed, one_line
from haproxy_ec2_sync.function import Answer, Client
from haproxy_ec2_sync.target import Target

SECONDS = 120.0
"""When nothing more is asked: a minute for a large fleet, and another for the function's own look."""

BATCH = 50
"""Instances in one question to SSM, which allows no more results in an answer; names in one to Auto Scaling."""

GROUP_TAG = "aws:autoscaling:groupName"

RULE = "AWS::Events::Rule"
CORE = "AmazonSSMManagedInstanceCore"
KEY = "0" * 64  # a digest, as object keys have one

# Where IAM's action is not called like the operation.
ACTIONS = {
    "lambda:Invoke": "lambda:InvokeFunction",
    "s3:GetBucketNotificationConfiguration": "s3:GetBucketNotification",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
}
UNKNOWN_CALLER = (
    *("ExpiredToken", "RequestExpired", "InvalidClientTokenId", "InvalidAccessKeyId"),
    *("UnrecognizedClient", "SignatureDoesNotMatch", "InvalidSignature", "AuthFailure"),
)
"""How codes begin that hold for all questions: AWS does not know who asks."""

REFUSALS = ("AccessDenied", "Unauthorized", "Forbidden", "403")
ABSENT = ("NotFound", "NoSuch", "NonExistent", "InvalidDocument", "404")

T = TypeVar("T")


class Unanswered(Exception):
    """A question without an answer: not allowed, about something that is gone, or failed."""

    def __init__(self, action: str, words: str) -> None:
        """The action as IAM spells it, and AWS's own words, which begin with a code."""
        super().__init__(f"{action}: {words}")
        self.action = action
        self.words = words

    @property
    def is_refused(self) -> bool:
        """Whether the operator may not ask."""
        return any(word in self.words.partition(":")[0] for word in REFUSALS)

    @property
    def is_absent(self) -> bool:
        """Whether what was asked about does not exist."""
        code = self.words.partition(":")[0]
        is_named = any(word in code for word in ABSENT)
        return is_named or "does not exist" in self.words


def action_of(service: str, operation: str) -> str:
    """IAM's action of an operation, named as boto3's method: `lambda`, `get_function` is lambda:GetFunction."""
    camel = "".join(word.capitalize() for word in operation.split("_"))
    asked = f"{service}:{camel}"
    return ACTIONS.get(asked, asked)


def _once(ask: "Callable[[Account], T]") -> Any:
    """A property of an account that is asked once, whatever comes of it."""
    name = ask.__name__

    @wraps(ask)
    def told(account: "Account") -> T:
        if name not in account.told:
            account.told[name] = _attempt(ask, account)
        value, error = account.told[name]
        if error:
            raise error
        return cast("T", value)

    return property(told)


def _attempt(
    ask: "Callable[[Account], object]", account: "Account"
) -> tuple[object, Unanswered | None]:
    try:
        return ask(account), None
    except Unanswered as error:
        return None, error


class Account:
    """Asks about one stack."""

    def __init__(
        self, target: Target, client: Client, seconds: float = SECONDS
    ) -> None:
        """Asks for so many seconds, then no more."""
        self.target = target
        self.client = client
        self.ends = time.monotonic() + seconds
        self.told: dict[str, tuple[object, Unanswered | None]] = {}

    # How it asks.

    def ask(self, service: str, operation: str, **request: Any) -> Raw:
        """One answer."""
        method = getattr(self.client(service), operation)
        answer: Raw = self._asked(service, operation, lambda: method(**request))
        return answer

    def pages(
        self, service: str, operation: str, key: str, **request: Any
    ) -> list[Any]:
        """What all pages of an answer have under a key."""
        pages = iter(self.client(service).get_paginator(operation).paginate(**request))
        found: list[Any] = []
        while page := self._asked(service, operation, lambda: next(pages, None)):
            found += page.get(key, ())
        return found

    def _asked(self, service: str, operation: str, send: Callable[[], T]) -> T:
        from botocore.exceptions import (  # noqa: PLC0415
            BotoCoreError,
            ClientError,
            CredentialRetrievalError,
            NoCredentialsError,
            PartialCredentialsError,
            SSOError,
            TokenRetrievalError,
        )

        action = action_of(service, operation)
        if time.monotonic() > self.ends:
            raise Unanswered(
                action, "Timeout: all the time went into earlier questions"
            )
        try:
            return send()
        except ClientError as error:
            told = error.response["Error"]
            if str(told.get("Code")).startswith(UNKNOWN_CALLER):
                raise
            words = f"{told.get('Code')}: {told.get('Message', '')}"
            raise Unanswered(action, one_line(words)) from error
        except (
            *(NoCredentialsError, PartialCredentialsError, CredentialRetrievalError),
            *(SSOError, TokenRetrievalError),
        ):
            raise  # it holds for all questions
        except BotoCoreError as error:
            words = f"{type(error).__name__}: {error}"
            raise Unanswered(action, one_line(words)) from error

    def _answer(self, action: str) -> Answer:
        asked = function.Function(self.output("FunctionName"), {}, self.client)

        def send() -> Answer:
            try:
                return asked.ask(action)
            except Failed as error:
                raise Unanswered(
                    f"the function's {action}", f"Failed: {error.message}"
                ) from error

        return self._asked("lambda", "invoke", send)

    # The stack.

    @_once
    def stack(self) -> Stack:
        """The stack itself."""
        name = self.target.stack_name
        answer = self.ask("cloudformation", "describe_stacks", StackName=name)
        region = str(self.client("cloudformation").meta.region_name)
        return Stack.read(answer["Stacks"][0], region)

    def output(self, name: str) -> str:
        """An output of the stack."""
        outputs: Mapping[str, str] = self.stack.outputs
        if name not in outputs:
            raise Unanswered(
                f"the output {name}", "Unknown: the stack has no such output"
            )
        return outputs[name]

    @_once
    def rules(self) -> tuple[Rule, ...]:
        """Its rules, and where they send."""
        resources = self.pages(
            "cloudformation",
            "list_stack_resources",
            "StackResourceSummaries",
            StackName=self.target.stack_name,
        )
        return tuple(
            # One that could not be made has no id.
            self._rule(each.get("PhysicalResourceId") or each["LogicalResourceId"])
            for each in resources
            if each["ResourceType"] == RULE
        )

    def _rule(self, name: str) -> Rule:
        try:
            raw = self.ask("events", "describe_rule", Name=name)
            sent = self.pages("events", "list_targets_by_rule", "Targets", Rule=name)
        except Unanswered as error:
            if error.is_absent:
                return Rule(name)
            raise
        targets = tuple(last(target["Arn"], ":") for target in sent)
        return Rule(name, raw["Arn"], raw["State"], targets)

    # The function.

    @_once
    def function(self) -> Function:
        """Its configuration."""
        name = self.output("FunctionName")
        return Function.read(
            self.ask("lambda", "get_function_configuration", FunctionName=name)
        )

    def variable(self, name: str) -> str:
        """What the stack gave the function under this name."""
        variables: Mapping[str, str] = self.function.variables
        if name not in variables:
            raise Unanswered(
                f"the function's variable {name}", "Unknown: it has no such variable"
            )
        return variables[name]

    @_once
    def reserved(self) -> int | None:
        """The concurrency that is reserved for it; None where it shares the account's."""
        name = self.output("FunctionName")
        raw = self.ask("lambda", "get_function_concurrency", FunctionName=name)
        return raw.get("ReservedConcurrentExecutions")

    @_once
    def event_sources(self) -> tuple[EventSource, ...]:
        """The queues that it is fed from."""
        name = self.output("FunctionName")
        found = self.pages(
            "lambda",
            "list_event_source_mappings",
            "EventSourceMappings",
            FunctionName=name,
        )
        return tuple(map(EventSource.read, found))

    @_once
    def inline_policies(self) -> tuple[str, ...]:
        """The names of its role's own policies."""
        role = last(self.function.role_arn)
        return tuple(
            self.pages("iam", "list_role_policies", "PolicyNames", RoleName=role)
        )

    def denied(self, role_arn: str, action: str, resource: str) -> bool:
        """Whether IAM says that a role may not do this, whatever the circumstances."""
        answer = self.ask(
            "iam",
            "simulate_principal_policy",
            PolicySourceArn=role_arn,
            ActionNames=[action],
            ResourceArns=[resource],
            ContextEntries=[
                {
                    "ContextKeyName": key,
                    "ContextKeyValues": [value],
                    "ContextKeyType": "string",
                }
                for key, value in self._fences().items()
            ],
        )
        return any(map(_is_denied, answer["EvaluationResults"]))

    @_once
    def status(self) -> Answer:
        """What the function says of itself."""
        return self._answer("status")

    @_once
    def plan(self) -> Answer:
        """What it would do: it looks and renders for that, and changes nothing."""
        return self._answer("plan")

    # Queues, bucket, document, metrics.

    @_once
    def queue(self) -> Queue:
        """Where events wait."""
        return self._queue(self.output("QueueUrl"))

    @_once
    def dead_letters(self) -> Queue:
        """Where events end that nobody took."""
        return self._queue(self.output("DeadLetterQueueUrl"))

    def _queue(self, url: str) -> Queue:
        raw = self.ask(
            "sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=["All"]
        )
        return Queue.read(url, raw["Attributes"])

    @_once
    def bucket(self) -> str:
        """Its name, once it was reached."""
        bucket = self.output("BucketName")
        self.ask("s3", "head_bucket", Bucket=bucket)
        return bucket

    @_once
    def sends_events(self) -> bool:
        """Whether the bucket tells EventBridge of uploads."""
        raw = self.ask(
            "s3",
            "get_bucket_notification_configuration",
            Bucket=self.output("BucketName"),
        )
        return raw.get("EventBridgeConfiguration") is not None

    @_once
    def versioning(self) -> str:
        """Whether the bucket keeps what is overwritten: `Enabled`, `Suspended` or empty."""
        raw = self.ask("s3", "get_bucket_versioning", Bucket=self.output("BucketName"))
        return str(raw.get("Status", ""))

    @_once
    def bucket_policy(self) -> BucketPolicy:
        """Who may write to the bucket."""
        try:
            raw = self.ask("s3", "get_bucket_policy", Bucket=self.output("BucketName"))
        except Unanswered as error:
            if "NoSuchBucketPolicy" in error.words:
                return BucketPolicy.read("")
            raise
        return BucketPolicy.read(raw["Policy"])

    @property
    def state_key(self) -> str:
        """Where the state lies."""
        return f"state/{self.variable('ENVIRONMENT')}.json"

    @_once
    def state_at(self) -> float | None:
        """When the state was written last, in unix seconds; None if never."""
        bucket = self.output("BucketName")
        try:
            raw = self.ask("s3", "head_object", Bucket=bucket, Key=self.state_key)
        except Unanswered as error:
            if error.is_absent:
                return None
            raise
        return float(raw["LastModified"].timestamp())

    @_once
    def document(self) -> Document:
        """The newest version of what proxies run."""
        raw = self.ask(
            "ssm",
            "describe_document",
            Name=self.output("DocumentName"),
            DocumentVersion="$LATEST",
        )
        return Document.read(raw["Document"])

    def metric(self, place: str, name: str, statistic: str, **of: str) -> list[float]:
        """A metric's values of the last hour, one for five minutes, the newest first."""
        dimensions = [{"Name": key, "Value": value} for key, value in of.items()]
        metric = {"Namespace": place, "MetricName": name, "Dimensions": dimensions}
        stat = {"Metric": metric, "Period": 300, "Stat": statistic}
        now = datetime.now(UTC)
        found = self.pages(
            "cloudwatch",
            "get_metric_data",
            "MetricDataResults",
            MetricDataQueries=[{"Id": "asked", "MetricStat": stat}],
            StartTime=now - timedelta(hours=1),
            EndTime=now,
            ScanBy="TimestampDescending",
        )
        return [value for each in found for value in each["Values"]]

    # The fleet.

    @_once
    def proxies(self) -> tuple[Proxy, ...]:
        """Running instances whose tags say that they are proxies."""
        return tuple(sorted(map(Proxy.read, self._running("PROXY_TAG_VALUE")), key=str))

    def _running(self, role: str, *filters: Raw) -> list[Raw]:
        """Running instances of the environment whose tag has the value of this variable."""
        tags = [
            {"Name": f"tag:{key}", "Values": [_exactly(value)]}
            for key, value in self._tags(role).items()
        ]
        running = {"Name": "instance-state-name", "Values": ["running"]}
        found = self.pages(
            "ec2",
            "describe_instances",
            "Reservations",
            Filters=[*tags, running, *filters],
        )
        return [raw for each in found for raw in each["Instances"]]

    @_once
    def groups(self) -> tuple[Group, ...]:
        """The Auto Scaling groups that running backends are in."""
        grouped = {"Name": "tag-key", "Values": [GROUP_TAG]}
        names = {
            tag["Value"]
            for raw in self._running("BACKEND_TAG_VALUE", grouped)
            for tag in raw["Tags"]
            if tag["Key"] == GROUP_TAG
        }
        raws = [
            raw for batch in _batches(sorted(names)) for raw in self._grouped(batch)
        ]
        return tuple(
            Group.read(raw, self._hooks(raw["AutoScalingGroupName"])) for raw in raws
        )

    def _grouped(self, names: Sequence[str]) -> list[Raw]:
        return self.pages(
            "autoscaling",
            "describe_auto_scaling_groups",
            "AutoScalingGroups",
            AutoScalingGroupNames=list(names),
        )

    def _hooks(self, group: str) -> Sequence[Raw]:
        answer = self.ask(
            "autoscaling", "describe_lifecycle_hooks", AutoScalingGroupName=group
        )
        hooks: Sequence[Raw] = answer["LifecycleHooks"]
        return hooks

    def _fences(self) -> dict[str, str]:
        """Every key that a condition of the role's policies asks for: without one, IAM's simulator knows no answer."""
        key, environment = (
            self.variable(name) for name in ("ENVIRONMENT_TAG_KEY", "ENVIRONMENT")
        )
        others = {
            f"autoscaling:ResourceTag/{key}": environment,
            "s3:prefix": f"templates/{environment}/",
        }
        proxy = {
            f"ssm:resourceTag/{key}": value
            for key, value in self._tags("PROXY_TAG_VALUE").items()
        }
        return proxy | others

    def _tags(self, role: str) -> dict[str, str]:
        """What instances of a role are tagged with; of proxies the function's policy names the same."""
        return {
            self.variable("ENVIRONMENT_TAG_KEY"): self.variable("ENVIRONMENT"),
            self.variable("TYPE_TAG_KEY"): self.variable(role),
        }

    @_once
    def agents(self) -> Mapping[str, Agent]:
        """The registered agents of the proxies, by instance id."""
        ids = [proxy.instance_id for proxy in self.proxies]
        raws = [raw for batch in _batches(ids) for raw in self._registered(batch)]
        return {
            raw["InstanceId"]: Agent(raw["PingStatus"], raw.get("AgentVersion", ""))
            for raw in raws
        }

    def _registered(self, ids: Sequence[str]) -> list[Any]:
        return self.pages(
            "ssm",
            "describe_instance_information",
            "InstanceInformationList",
            Filters=[{"Key": "InstanceIds", "Values": list(ids)}],
            PaginationConfig={"PageSize": BATCH},
        )

    @_once
    def offline(self) -> tuple[Proxy, ...]:
        """The proxies that no command reaches."""
        agents, nobody = self.agents, Agent("", "")
        return tuple(
            proxy
            for proxy in self.proxies
            if not agents.get(proxy.instance_id, nobody).is_online
        )

    @_once
    def profiles(self) -> Mapping[str, Profile]:
        """The proxies' instance profiles, by name."""
        names = sorted({proxy.profile for proxy in self.proxies} - {""})
        return {name: self._profile(name) for name in names}

    def _profile(self, name: str) -> Profile:
        raw = self.ask("iam", "get_instance_profile", InstanceProfileName=name)
        for role in raw["InstanceProfile"]["Roles"]:  # IAM allows one
            return self._profile_of(name, role["RoleName"], role["Arn"])
        return Profile(name)

    def _profile_of(self, name: str, role: str, role_arn: str) -> Profile:
        """What is attached is enough; else IAM knows whether another policy says the same."""
        raws = self.pages(
            "iam", "list_attached_role_policies", "AttachedPolicies", RoleName=role
        )
        attached = {each["PolicyArn"] for each in raws}
        names = {last(arn) for arn in attached}

        def may(action: str, *resources: str) -> bool:
            return not any(self.denied(role_arn, action, each) for each in resources)

        return Profile(
            name,
            role,
            self.output("ProxyPolicyArn") in attached
            or may("s3:GetObject", *self._downloads(role_arn)),
            CORE in names or may("ssm:UpdateInstanceInformation", "*"),
        )

    def _downloads(self, role_arn: str) -> Iterator[str]:
        """ARNs of a config and of a program, such as proxies download."""
        partition = role_arn.split(":")[1]
        bucket = f"arn:{partition}:s3:::{self.output('BucketName')}"
        yield f"{bucket}/configs/{self.variable('ENVIRONMENT')}/{KEY}/haproxy.cfg"
        yield f"{bucket}/program/{KEY}/haproxy_apply.zip"

    @_once
    def route_tables(self) -> tuple[RouteTable, ...]:
        """Those of the VPCs in which a proxy is offline."""
        found = self.pages(
            "ec2", "describe_route_tables", "RouteTables", Filters=[self._vpcs]
        )
        return tuple(map(RouteTable.read, found))

    @_once
    def endpoints(self) -> tuple[Endpoint, ...]:
        """VPC endpoints there."""
        found = self.pages(
            "ec2", "describe_vpc_endpoints", "VpcEndpoints", Filters=[self._vpcs]
        )
        return tuple(map(Endpoint.read, found))

    @property
    def _vpcs(self) -> Raw:
        vpcs = sorted({proxy.vpc for proxy in self.offline})
        return {"Name": "vpc-id", "Values": vpcs}


def _is_denied(result: Raw) -> bool:
    """Where a condition decides whose circumstances the simulator does not know, nobody can say."""
    parts = [result, *result.get("ResourceSpecificResults", ())]
    is_guess = any(part.get("MissingContextValues") for part in parts)
    return result["EvalDecision"] != "allowed" and not is_guess


def aws_policy(role_arn: str, name: str) -> str:
    """The ARN of a policy that AWS manages, in the partition of the role."""
    return f"arn:{role_arn.split(':')[1]}:iam::aws:policy/{name}"


def _batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), BATCH):
        yield ids[start : start + BATCH]


def _exactly(text: str) -> str:
    r"""A filter's value that means this text: `*`, `?` and `\` are special there."""
    special = str.maketrans({each: f"\\{each}" for each in "\\*?"})
    return text.translate(special)
