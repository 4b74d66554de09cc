"""Why does nothing happen: every part that can be wrong is named by a line of its own, with what to do."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from haproxy_ec2_sync import function
from haproxy_ec2_sync.doctor import checks, fleet, groups
from haproxy_ec2_sync.doctor.account import ACTIONS, Account
from haproxy_ec2_sync.doctor.facts import (
    Agent,
    Endpoint,
    Group,
    Hook,
    Proxy,
    RouteTable,
)
from haproxy_ec2_sync.doctor.function import POLICIES
from haproxy_ec2_sync.doctor.stack import OUTPUTS
from haproxy_ec2_sync.target import Target
from tests import command_line_reference as reference
from tests.cli import samples
from tests.cli.conftest import Shell
from tests.cli.deployed import (
    NAME,
    ROLE_ARN,
    RULES,
    Deployed,
    allow,
    deployed,
    fence,
    group,
    let_send,
    permit,
)
from tests.contract.faults import Fault, failing
from tests.contract.world import ACCOUNT, REGION, World, another_program, stack
from tests.template.translate import source

NAMED = f"arn:aws:iam::{ACCOUNT}:role/platform"
NAMES = [check.name for check in checks.CHECKS]
QUEUE = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}"


@pytest.fixture
def empty(
    world: World, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Deployed]:
    """A stack that nobody's instances belong to yet."""
    monkeypatch.setattr(checks, "time", SimpleNamespace(time=lambda: world.now))
    with deployed(world, shell) as made:
        monkeypatch.setattr(function, "clients", lambda _target: made.client)
        yield made


@pytest.fixture
def stack_(
    running: World, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Deployed]:
    """A stack with a fleet, all of it well."""
    monkeypatch.setattr(checks, "time", SimpleNamespace(time=lambda: running.now))
    with deployed(running, shell) as made:
        monkeypatch.setattr(function, "clients", lambda _target: made.client)
        # The function's delayed messages appear by the real clock, in the midst of a slow test.
        made.client("sqs").purge_queue(QueueUrl=f"{QUEUE}/queue")
        yield made


def test_all_is_right(stack_: Deployed) -> None:
    """One green line for each check, and exit code 0."""
    typed = stack_.doctor("--json")
    found = json.loads(typed.out)
    assert [line for line in found if not line["ok"]] == []
    assert [line["check"] for line in found] == NAMES
    assert {line["advice"] for line in found} == {""}
    assert typed.status == 0


def test_a_person_reads_a_line_for_each(stack_: Deployed) -> None:
    """With a check mark where it is right, else with a cross and what to do."""
    stack_.client("events").disable_rule(Name="SweepRule")
    typed = stack_.doctor()
    lines = typed.out.splitlines()
    assert typed.status == 1
    assert lines[0].split() == [
        *("✔", "stack", NAME, "in", REGION, "is", "CREATE_COMPLETE"),
    ]
    assert [line.rstrip() for line in lines if line.startswith("✘")] == [
        "✘ rules             SweepRule is DISABLED; to do: aws events enable-rule --name SweepRule"
    ]


def _answers(action: str, **changes: Any) -> Callable[[Deployed], None]:
    return lambda made: made.says(action, **changes)


UNASKED = {
    "operation": "DescribeInstanceInformation",
    "code": "AccessDeniedException",
    "message": "no",
    "since_iso": "2026-11-22T03:00:00Z",
}


def _never_looked(made: Deployed) -> None:
    made.says("status", looked_at=None)


def _metric(name: str, *values: float, **of: str) -> Callable[[Deployed], None]:
    """The values of as many spans of five minutes, the newest first."""
    dimensions = [{"Name": key, "Value": value} for key, value in of.items()]
    place = "AWS/Lambda" if "FunctionName" in of else "AWS/SQS"

    def put(made: Deployed) -> None:
        made.client("cloudwatch").put_metric_data(
            Namespace=place,
            MetricData=[
                {
                    "MetricName": name,
                    "Value": value,
                    "Dimensions": dimensions,
                    "Timestamp": datetime.now(UTC) - timedelta(minutes=minutes),
                }
                for minutes, value in zip(range(7, 60, 5), values, strict=False)
            ],
        )

    return put


def _send(queue: str, number: int) -> Callable[[Deployed], None]:
    def send(made: Deployed) -> None:
        for start in range(0, number, 10):
            made.client("sqs").send_message_batch(
                QueueUrl=f"{QUEUE}/{queue}",
                Entries=[
                    {"Id": str(each), "MessageBody": "{}"}
                    for each in range(start, min(start + 10, number))
                ],
            )

    return send


def _no_target(made: Deployed, rule: str = "CommandRule") -> None:
    made.client("events").remove_targets(Rule=rule, Ids=["EventQueue"])


def _no_rule(made: Deployed, rule: str = "CommandRule") -> None:
    _no_target(made, rule)
    made.client("events").delete_rule(Name=rule)


def _stop_polling(made: Deployed) -> None:
    functions = made.client("lambda")
    (found,) = functions.list_event_source_mappings()["EventSourceMappings"]
    functions.update_event_source_mapping(UUID=found["UUID"], Enabled=False)


def _unfeed(made: Deployed) -> None:
    functions = made.client("lambda")
    (found,) = functions.list_event_source_mappings()["EventSourceMappings"]
    functions.delete_event_source_mapping(UUID=found["UUID"])


def _broken_template(made: Deployed) -> None:
    made.client("s3").put_object(
        Bucket="bucket", Key="templates/staging/haproxy.cfg.j2", Body=b"{{ nobody }}\n"
    )


def _silence(made: Deployed) -> None:
    made.client("s3").put_bucket_notification_configuration(
        Bucket="bucket", NotificationConfiguration={}
    )


def _forget_versions(made: Deployed) -> None:
    made.client("s3").put_bucket_versioning(
        Bucket="bucket", VersioningConfiguration={"Status": "Suspended"}
    )


def _mistype(made: Deployed) -> None:
    made.world.launch("Tomcat")
    made.world.sweep()


def _deregister(made: Deployed) -> None:
    made.world.service.deregister(min(made.world.proxies))


def _disconnect(made: Deployed) -> None:
    made.world.service.disconnect(min(made.world.proxies))
    made.world.clock.advance(400)


def _age(made: Deployed) -> None:
    made.world.proxies[min(made.world.proxies)].agent.version = "3.2.985.0"
    made.world.pass_time(3600)
    made.world.sweep()


def _detach(made: Deployed) -> None:
    made.client("iam").detach_role_policy(
        RoleName="haproxy", PolicyArn=f"arn:aws:iam::{ACCOUNT}:policy/proxy-policy"
    )


def _detach_core(made: Deployed) -> None:
    made.client("iam").detach_role_policy(
        RoleName="haproxy",
        PolicyArn=f"arn:aws:iam::{ACCOUNT}:policy/AmazonSSMManagedInstanceCore",
    )
    _deregister(made)


def _no_profile(made: Deployed) -> None:
    _managed_by_default(made)
    unproven = {key: {"sync": "out-of-sync"} for key in made.world.proxies}
    made.says("status", proxies=unproven)


def _managed_by_default(made: Deployed) -> None:
    """A proxy without instance profile; SSM's Default Host Management has given it a role."""
    ec2 = made.client("ec2")
    found = ec2.describe_iam_instance_profile_associations()
    ec2.disassociate_iam_instance_profile(
        AssociationId=found["IamInstanceProfileAssociations"][0]["AssociationId"]
    )


def _private(made: Deployed) -> str:
    """An offline proxy in a VPC of its own without a way out; the VPC."""
    ec2 = made.client("ec2")
    vpc: str = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.0.0/24")["Subnet"]
    made.launch_proxies(1, SubnetId=subnet["SubnetId"])
    return vpc


def _cut_off(made: Deployed) -> None:
    _private(made)


def _half_of_endpoints(made: Deployed) -> None:
    endpoints(made, _private(made), "ssm")


def endpoints(made: Deployed, vpc: str, *services: str) -> None:
    """Interface endpoints; S3's is a gateway."""
    ec2 = made.client("ec2")
    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])
    table = tables["RouteTables"][0]["RouteTableId"]
    for service in services:
        kind: dict[str, Any] = (
            {"VpcEndpointType": "Gateway", "RouteTableIds": [table]}
            if service == "s3"
            else {"VpcEndpointType": "Interface", "PrivateDnsEnabled": True}
        )
        ec2.create_vpc_endpoint(
            VpcId=vpc, ServiceName=f"com.amazonaws.{REGION}.{service}", **kind
        )


def _two_stacks(made: Deployed) -> None:
    owned = {"ours": False, "instances": ["i-1"]}
    made.says("status", publishers={stack("other"): owned})


def _left_behind(made: Deployed) -> None:
    said = samples.condition("left", "attention", advice="aws s3 cp --recursive a b")
    made.says(
        "status",
        earlier_uploads=[samples.EARLIER],
        conditions=[said | {"cause": "uploads-elsewhere"}],
    )


def _rollback_failed(made: Deployed) -> None:
    made.said["DescribeStacks"] = lambda answer: {
        "Stacks": [
            answer["Stacks"][0]
            | {
                "StackStatus": "UPDATE_ROLLBACK_COMPLETE",
                "StackStatusReason": "a rule is wrong",
            }
        ]
    }


def _deploying(made: Deployed) -> None:
    made.said["DescribeStacks"] = lambda answer: {
        "Stacks": [answer["Stacks"][0] | {"StackStatus": "UPDATE_IN_PROGRESS"}]
    }


def _parameters(made: Deployed, **named: str) -> None:
    """The stack has them, whatever the bucket's policy says."""
    given = [
        {"ParameterKey": name, "ParameterValue": value} for name, value in named.items()
    ]
    made.said["DescribeStacks"] = lambda answer: {
        "Stacks": [answer["Stacks"][0] | {"Parameters": given}]
    }


def _named(made: Deployed, **parameters: str) -> None:
    """The stack has the parameters, and its bucket the policy that goes with them."""
    _parameters(made, **parameters)
    fence(made, **parameters)


def _change_fence(made: Deployed, position: int, change: Callable[[Any], Any]) -> None:
    """Somebody changed a statement of the policy by hand, or took it away."""
    _named(made, BreakGlass=NAMED, TemplateWriters=f"{NAMED}-a")
    s3 = made.client("s3")
    policy = json.loads(s3.get_bucket_policy(Bucket="bucket")["Policy"])
    changed = change(policy["Statement"].pop(position))
    policy["Statement"] += [changed] if changed else []
    s3.put_bucket_policy(Bucket="bucket", Policy=json.dumps(policy))


def _spare(statement: Any, arn: str) -> Any:
    spared = statement["Condition"]["ArnNotLike"]["aws:PrincipalArn"]
    return statement | {
        "Condition": {"ArnNotLike": {"aws:PrincipalArn": [*spared, arn]}}
    }


def _excepted(statement: Any) -> Any:
    """Who comes from that network passes."""
    network = {"NotIpAddress": {"aws:SourceIp": "192.0.2.0/24"}}
    return statement | {"Condition": statement["Condition"] | network}


def _document(made: Deployed) -> None:
    made.said["DescribeDocument"] = lambda answer: {
        "Document": answer["Document"]
        | {"Status": "Failed", "StatusInformation": "no schema"}
    }


def _refuse_program(made: Deployed) -> None:
    made.world.program = another_program()
    made.world.launch()
    made.world.sweep()


def _launch(world: World) -> None:
    world.launch()
    world.sweep()


def _forbidden(
    operation: str, happen: Callable[[World], object] = World.sweep
) -> Callable[[Deployed], None]:
    """The function may not do this any more, and looks."""

    def spoil(made: Deployed) -> None:
        made.world.pass_time(120)
        fault = Fault(400, "AccessDeniedException")
        with failing(made.world.clients, operation, fault):
            happen(made.world)

    return spoil


WRONG: dict[str, tuple[str, Callable[[Deployed], None], str, str]] = {
    "rolled back": (
        "stack",
        _rollback_failed,
        f"{NAME} in {REGION} is UPDATE_ROLLBACK_COMPLETE (a rule is wrong)",
        "see the stack's events for what failed, mend it, and deploy again",
    ),
    "deploying": (
        "stack",
        _deploying,
        f"{NAME} in {REGION} is UPDATE_IN_PROGRESS",
        "wait for its end, then ask again",
    ),
    "outputs": (
        "outputs",
        lambda made: made.outputs(LogGroupName=None),
        "missing: LogGroupName",
        "see --stack-name; else deploy the release",
    ),
    "no function": (
        "function",
        lambda made: made.client("lambda").delete_function(FunctionName="function"),
        "lambda:GetFunctionConfiguration: ResourceNotFoundException: Function not found",
        "if somebody deleted it, deploy again",
    ),
    "update failed": (
        "function",
        lambda made: made.says(
            "GetFunctionConfiguration",
            LastUpdateStatus="Failed",
            LastUpdateStatusReason="the layer is gone",
        ),
        "function is Active, last update Failed (the layer is gone)",
        "wait while it is pending, else deploy again",
    ),
    "reserved": (
        "concurrency",
        lambda made: made.client("lambda").put_function_concurrency(
            FunctionName="function", ReservedConcurrentExecutions=0
        ),
        "reserved for it: 0",
        "it never runs: see who stopped it and why, then aws lambda delete-function-concurrency",
    ),
    "not polled": (
        "event-source",
        _stop_polling,
        "the event source of queue is Disabled",
        "aws lambda update-event-source-mapping --uuid",
    ),
    "not fed": (
        "event-source",
        _unfeed,
        "no event source brings it what queue has",
        "somebody changed it by hand: deploy again",
    ),
    "errors": (
        "errors",
        _metric("Errors", 4, 0, 2, 1, FunctionName="function"),
        "7 runs within the last hour ended in errors",
        "read its log: haproxy-ec2-sync logs",
    ),
    "role": (
        "role",
        lambda made: made.client("iam").delete_role_policy(
            RoleName="reconcile-role", PolicyName="send-command"
        ),
        "the function's role lacks its policy send-command",
        "somebody changed it by hand: deploy again",
    ),
    "rights": (
        "rights",
        lambda made: allow(made, "send-command", "ssm:ListCommands"),
        f"the function may not ssm:SendCommand on arn:aws:ssm:{REGION}:{ACCOUNT}:document/apply",
        "see its policies and its permissions boundary",
    ),
    "rights to hooks": (
        "rights",
        lambda made: allow(
            made, "lifecycle-actions", "autoscaling:RecordLifecycleActionHeartbeat"
        ),
        f"the function may not autoscaling:CompleteLifecycleAction on arn:aws:autoscaling:{REGION}:{ACCOUNT}:",
        "see its policies and its permissions boundary",
    ),
    "rights to the state": (
        "rights",
        lambda made: allow(made, "reconcile", "ec2:DescribeInstances"),
        "the function may not s3:GetObject on arn:aws:s3:::bucket/state/staging.json",
        "see its policies and its permissions boundary",
    ),
    "rule disabled": (
        "rules",
        lambda made: made.client("events").disable_rule(Name="SweepRule"),
        "SweepRule is DISABLED",
        "aws events enable-rule --name SweepRule",
    ),
    "rule of groups disabled": (
        "rules",
        lambda made: made.client("events").disable_rule(Name="AutoScalingRule"),
        "AutoScalingRule is DISABLED",
        "aws events enable-rule --name AutoScalingRule",
    ),
    "rule of spot instances deleted": (
        "rules",
        lambda made: _no_rule(made, "SpotRule"),
        "SpotRule is gone",
        "somebody changed it by hand: deploy again",
    ),
    "rule without target": (
        "rules",
        _no_target,
        "CommandRule does not send to queue",
        "somebody changed it by hand: deploy again",
    ),
    "rule deleted": (
        "rules",
        _no_rule,
        "CommandRule is gone",
        "somebody changed it by hand: deploy again",
    ),
    "backlog": (
        "queue",
        _send("queue", 101),
        "101 messages waiting, 0 in work",
        "ask again in a minute; else see event-source, concurrency and errors",
    ),
    "old message": (
        "queue-age",
        _metric("ApproximateAgeOfOldestMessage", 2000, QueueName="queue"),
        "the oldest message waited 2000 s",
        "see event-source, concurrency and errors",
    ),
    "queue policy": (
        "queue-policy",
        lambda made: let_send(made, *RULES[:-1]),
        "the queue's policy does not let these send: SweepRule",
        "somebody changed it by hand: deploy again",
    ),
    "dead letters": (
        "dead-letters",
        _send("dead-letters", 1),
        "1 message in dead-letters",
        "redrive",
    ),
    "no bucket": (
        "bucket",
        lambda made: made.outputs(BucketName="gone-bucket"),
        "s3:ListBucket: 404: Not Found",
        "if somebody deleted it, deploy again",
    ),
    "bucket is silent": (
        "bucket-events",
        _silence,
        "the bucket tells EventBridge of no upload",
        "somebody changed it by hand: deploy again",
    ),
    "versions": (
        "bucket-versions",
        _forget_versions,
        "the bucket's versioning is Suspended",
        "somebody changed it by hand: deploy again",
    ),
    "no bucket policy": (
        "bucket-policy",
        lambda made: made.client("s3").delete_bucket_policy(Bucket="bucket"),
        f"the bucket's policy has no fence around configs that spares {ROLE_ARN}",
        "a deploy that changes TemplateWriters or BreakGlass puts it back",
    ),
    "no break-glass": (
        "bucket-policy",
        lambda made: _parameters(made, BreakGlass=NAMED),
        f"has no fence around configs that spares {NAMED}",
        "a deploy that changes TemplateWriters or BreakGlass puts it back",
    ),
    "one more who writes configs": (
        "bucket-policy",
        lambda made: _change_fence(made, 1, lambda each: _spare(each, f"{NAMED}-x")),
        f"its fence around configs spares {NAMED}-x, too",
        "a deploy that changes TemplateWriters or BreakGlass puts it back",
    ),
    "a fence that lets through": (
        "bucket-policy",
        lambda made: _change_fence(made, 1, lambda each: each | {"NotAction": "s3:*"}),
        f"the bucket's policy has no fence around configs that spares {ROLE_ARN}, {NAMED}",
        "a deploy that changes TemplateWriters or BreakGlass puts it back",
    ),
    "a fence with an exception": (
        "bucket-policy",
        lambda made: _change_fence(made, 1, _excepted),
        f"the bucket's policy has no fence around configs that spares {ROLE_ARN}, {NAMED}",
        "a deploy that changes TemplateWriters or BreakGlass puts it back",
    ),
    "a fence with a gap": (
        "bucket-policy",
        lambda made: _change_fence(
            made, 1, lambda each: each | {"Resource": each["Resource"][:2]}
        ),
        f"the bucket's policy has no fence around configs that spares {ROLE_ARN}, {NAMED}",
        "a deploy that changes TemplateWriters or BreakGlass puts it back",
    ),
    "no fence around the bucket": (
        "bucket-policy",
        lambda made: _change_fence(made, 3, lambda _: None),
        f"the bucket's policy has no fence around the bucket itself that spares {NAMED}",
        "a deploy that changes TemplateWriters or BreakGlass puts it back",
    ),
    "no template writers": (
        "template-writers",
        lambda made: _parameters(made, TemplateWriters=NAMED),
        f"the bucket's policy has no fence around templates that spares {NAMED}",
        "a deploy that changes TemplateWriters or BreakGlass puts it back",
    ),
    "one more who writes templates": (
        "template-writers",
        lambda made: _change_fence(made, 2, lambda each: _spare(each, f"{NAMED}-x")),
        f"its fence around templates spares {NAMED}-x, too",
        "a deploy that changes TemplateWriters or BreakGlass puts it back",
    ),
    "no state": (
        "state",
        lambda made: made.client("s3").delete_object(
            Bucket="bucket", Key="state/staging.json"
        ),
        "there is no state/staging.json in the bucket",
        "the first look writes it: haproxy-ec2-sync sync",
    ),
    "old release": (
        "release",
        lambda made: made.said.update(
            status=lambda answer: {
                key: value
                for key, value in answer.items()
                if key not in {"headline", "health"}
            }
        ),
        "its status lacks headline, health",
        "deploy the release of this command line (make deploy)",
    ),
    "never looked": (
        "look",
        _never_looked,
        "it has never looked",
        "haproxy-ec2-sync sync looks now",
    ),
    "old look": (
        "look",
        lambda made: made.world.clock.advance(1000),
        "s ago",
        "see rules, event-source and errors",
    ),
    "looks fail": (
        "look",
        _forbidden("ec2.DescribeInstances"),
        "looks fail: DescribeInstances: AccessDeniedException (since 2026-",
        "see role and rights",
    ),
    "sends fail": (
        "sends",
        _forbidden("ssm.SendCommand", _launch),
        "sending fails: SendCommand: AccessDeniedException: no (since 2026-",
        "see role, rights and document",
    ),
    "agents unknown": (
        "agent-versions",
        _answers("plan", agents={"findings": [], "failure": UNASKED}),
        "the function cannot ask SSM: DescribeInstanceInformation: AccessDeniedException: no (since",
        "see role and rights",
    ),
    "degraded": (
        "health",
        _answers(
            "status",
            health="degraded",
            headline="rollout stopped on a",
            conditions=[{"advice": "make room", "runbook": "docs/runbook.md#disk"}],
        ),
        "rollout stopped on a",
        "make room (docs/runbook.md#disk)",
    ),
    "mistyped": (
        "tags",
        _mistype,
        "near-miss 'Type'='Tomcat', expected 'tomcat'",
        "correct the tag",
    ),
    "not registered": (
        "agents",
        _deregister,
        "not registered with SSM: ip-",
        "see instance-profiles and endpoints; then restart amazon-ssm-agent there",
    ),
    "offline": (
        "agents",
        _disconnect,
        "ConnectionLost: ip-",
        "restart amazon-ssm-agent there; see endpoints",
    ),
    "old agent": (
        "agent-versions",
        _age,
        "agent-too-old: ip-",
        "update it (AWS-UpdateSSMAgent)",
    ),
    "policy": (
        "instance-profiles",
        _detach,
        "role haproxy lacks the stack's policy: ip-",
        "aws iam attach-role-policy --role-name haproxy --policy-arn arn:aws:iam::123456789012:policy/proxy-policy",
    ),
    "core policy": (
        "instance-profiles",
        _detach_core,
        "role haproxy lacks AmazonSSMManagedInstanceCore: ip-",
        "--policy-arn arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore",
    ),
    "no profile": (
        "instance-profiles",
        _no_profile,
        "no instance profile: ip-",
        "attach one whose role has",
    ),
    "no way out": (
        "endpoints",
        _cut_off,
        "has no way to ssm, ssmmessages, s3: ip-10-9-0-",
        "a NAT gateway, or endpoints in its VPC",
    ),
    "some endpoints": (
        "endpoints",
        _half_of_endpoints,
        "has no way to ssmmessages, s3: ip-10-9-0-",
        "a NAT gateway, or endpoints in its VPC",
    ),
    "group without tag": (
        "lifecycle-hooks",
        lambda made: group(made, tag="production"),
        "no tag Environment=staging on the group, so the function may not end its hooks: web",
        "create-or-update-tags --tags ResourceId=GROUP,ResourceType=auto-scaling-group,Key=Environment,Value=staging,",
    ),
    "no terminate hook": (
        "lifecycle-hooks",
        lambda made: group(made, timeouts={"LAUNCHING": 600}),
        "no terminate hook of ours, so requests are cut when an instance leaves: web",
        "docs/auto-scaling.md has it to copy",
    ),
    "no launch hook": (
        "lifecycle-hooks",
        lambda made: group(made, timeouts={"TERMINATING": 300}),
        "no launch hook of ours, so an instance may be in service before proxies see it up: web",
        "docs/auto-scaling.md has it to copy",
    ),
    "short hook": (
        "lifecycle-hooks",
        lambda made: group(made, timeouts={"LAUNCHING": 600, "TERMINATING": 30}),
        "hook haproxy-ec2-sync-terminating is over in 30 s, and the next sweep may come in 60 s: web",
        "aws autoscaling put-lifecycle-hook --heartbeat-timeout 300",
    ),
    "template": (
        "template",
        _broken_template,
        "haproxy.cfg.j2:1: 'nobody' is undefined",
        "make template-test shows it here",
    ),
    "earlier uploads": (
        "earlier-uploads",
        _left_behind,
        f"uploads of an earlier stack: {samples.EARLIER}",
        "aws s3 cp --recursive",
    ),
    "document": (
        "document",
        _document,
        "version 1 of apply is Failed (no schema)",
        "wait while it is updated, else deploy again",
    ),
    "refused": (
        "document",
        _refuse_program,
        "it takes no command: the document of the stack is not the one that this function was shipped with",
        "wait for the end of a deploy, else deploy again",
    ),
    "two stacks": (
        "publishers",
        _two_stacks,
        f"{stack('other')} publishes to i-1, too",
        "delete it, or take its proxies: haproxy-ec2-sync unfreeze --adopt",
    ),
}


@pytest.mark.parametrize("trouble", WRONG)
def test_what_is_wrong_is_named(trouble: str, stack_: Deployed) -> None:
    """In a line of its own, with what to do; and the others are still told."""
    check, spoil, detail, advice = WRONG[trouble]
    spoil(stack_)
    typed = stack_.doctor("--json")
    found = json.loads(typed.out)
    (line,) = [line for line in found if line["check"] == check and not line["ok"]]
    assert line["ok"] is False
    assert detail in line["detail"]
    assert advice in line["advice"]
    assert list(dict.fromkeys(each["check"] for each in found)) == NAMES
    assert typed.status == 1


def test_who_may_write_to_the_bucket_is_said(stack_: Deployed) -> None:
    """As a note where nobody is named: then IAM alone says who writes templates, and who changes the policy."""

    def said() -> list[str]:
        found = (*stack_.lines("bucket-policy"), *stack_.lines("template-writers"))
        assert [line["ok"] for line in found] == [True, True]
        return [line["detail"] for line in found]

    anybody = said()
    assert anybody[0] == (
        f"{ROLE_ARN} may write configs, programs and the state; whom IAM allows may change that (no BreakGlass)"
    )
    assert anybody[1].startswith("whom IAM allows may write templates and variables; ")
    _named(stack_, BreakGlass=NAMED, TemplateWriters=f"{NAMED}-a,{NAMED}-b*")
    assert said() == [
        f"{ROLE_ARN}, {NAMED} may write configs, programs and the state",
        f"{NAMED}-a, {NAMED}-b*, {NAMED} may write templates and variables",
    ]


def test_every_check_is_once_wrong() -> None:
    """A check that no test sees fail may be one that cannot."""
    assert {check for check, *_ in WRONG.values()} == set(NAMES)


@pytest.fixture
def live(
    shell: Shell, world: World, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Deployed]:
    """A live fleet in its first freeze: nobody ever looked, and nothing was sent."""
    monkeypatch.setattr(checks, "time", SimpleNamespace(time=lambda: world.now))
    world.settings = replace(world.settings, start_frozen=True)
    world.launch(number=3)
    world.launch("haproxy", 3)
    with deployed(world, shell) as made:
        monkeypatch.setattr(function, "clients", lambda _target: made.client)
        yield made


def _of(made: Deployed, *checks: str) -> dict[str, tuple[bool | None, str]]:
    """The first line of each of these checks."""
    lines = {line["check"]: line for line in reversed(made.lines())}
    return {name: (lines[name]["ok"], lines[name]["detail"]) for name in checks}


REACH = ("agents", "agent-versions", "instance-profiles", "endpoints")


def test_a_live_fleet_is_judged_before_anything_is_sent_to_it(live: Deployed) -> None:
    """Whether its agents are there and new enough, and whether they may download; by SSM's word of this moment."""
    assert {ok for ok, _ in _of(live, *REACH).values()} == {True}
    old, gone, _ = sorted(live.world.proxies)
    live.world.proxies[old].agent.version = "3.2.985.0"
    live.world.service.deregister(gone)
    _detach(live)
    found = _of(live, *REACH)
    assert {ok for ok, _ in found.values()} == {False}
    assert f"({gone})" in found["agents"][1]
    assert f"({old}) 3.2.985.0" in found["agent-versions"][1]
    assert "lacks the stack's policy" in found["instance-profiles"][1]
    assert f"({gone})" in found["endpoints"][1]
    # Who mends it reads at once that it is mended.
    live.world.proxies[old].agent.version = "3.3.3572.0"
    assert _of(live, "agent-versions") == {"agent-versions": (True, "none is too old")}
    assert live.world.service.commands == []


def test_whom_tags_should_say_is_told(empty: Deployed) -> None:
    """Of an environment without instances: by the keys and values that the function was deployed with."""
    empty.world.sweep()
    found = {line["detail"]: line["advice"] for line in empty.lines("tags")}
    assert found == {
        "no backends found": "tag running instances Environment=staging and Type=tomcat",
        "no proxies found": "tag running instances Environment=staging and Type=haproxy",
    }


def test_a_fleet_is_named_by_its_first_five(stack_: Deployed) -> None:
    """Of sixty proxies whose agents are not there, in one line; they are asked for in batches."""
    stack_.launch_proxies(60)
    (line,) = [line for line in stack_.lines("agents") if not line["ok"]]
    assert line["detail"].startswith("not registered with SSM: ip-")
    assert line["detail"].endswith(" and 55 more")
    assert line["detail"].count("(i-") == 5


def test_endpoints_are_enough(stack_: Deployed) -> None:
    """For who is offline in a subnet without a route to the internet."""
    vpc = _private(stack_)
    endpoints(stack_, vpc, "ssm", "ssmmessages", "s3")
    (line,) = stack_.lines("endpoints")
    assert line["ok"]
    assert "see the agent's log" in line["detail"]


def _proxy(**more: Any) -> Proxy:
    return Proxy.read(
        {
            "InstanceId": "i-1",
            "SubnetId": "subnet-1",
            "VpcId": "vpc-1",
            "PrivateDnsName": "lb",
        }
        | more
    )


def _table(table_id: str, *routes: dict[str, str], owner: str = ACCOUNT) -> RouteTable:
    """The main one, as DescribeRouteTables has it."""
    local = {
        "DestinationCidrBlock": "10.9.0.0/16",
        "GatewayId": "local",
        "State": "active",
    }
    return RouteTable.read({
        "RouteTableId": table_id,
        "VpcId": "vpc-1",
        "OwnerId": owner,
        "Associations": [{"Main": True}],
        "Routes": [local, *({"State": "active"} | each for each in routes)],
    })  # fmt: skip


V4, V6 = {"DestinationCidrBlock": "0.0.0.0/0"}, {"DestinationIpv6CidrBlock": "::/0"}
PUBLIC_V6 = {"NetworkInterfaces": [{"Ipv6Addresses": [{"Ipv6Address": "2001:db8::1"}]}]}
HUB = {"DestinationCidrBlock": "10.0.0.0/8"}
S3_LIST = {"DestinationPrefixListId": "pl-6ca54005"}

WAYS: dict[str, tuple[dict[str, str], dict[str, Any], bool]] = {
    "egress-only": (V6 | {"EgressOnlyInternetGatewayId": "eigw-1"}, PUBLIC_V6, True),
    "igw for IPv6": (V6 | {"GatewayId": "igw-1"}, PUBLIC_V6, True),
    "igw, no address": (V4 | {"GatewayId": "igw-1"}, {}, False),
    "transit gateway": (V4 | {"TransitGatewayId": "tgw-1"}, {}, True),
    "endpoints in a hub": (HUB | {"TransitGatewayId": "tgw-1"}, {}, True),
    "endpoints in a peer": (HUB | {"VpcPeeringConnectionId": "pcx-1"}, {}, True),
    "cloud WAN": (HUB | {"CoreNetworkArn": "arn:aws:networkmanager::1:core"}, {}, True),
    "VPN": (HUB | {"GatewayId": "vgw-1"}, {}, True),
    "NAT instance": (
        V4 | {"InstanceId": "i-9", "NetworkInterfaceId": "eni-9"},
        {},
        True,
    ),
    "firewall": (V4 | {"GatewayId": "vpce-9"}, {}, True),
    "deleted NAT": (V4 | {"NatGatewayId": "nat-1", "State": "blackhole"}, {}, False),
    "S3 alone": (S3_LIST | {"GatewayId": "vpce-1"}, {}, False),
}


@pytest.mark.parametrize("way", WAYS)
def test_where_routes_lead(way: str) -> None:
    """What may lead to SSM is no alarm; what surely does not is one."""
    route, more, is_right = WAYS[way]
    offline = [_proxy(**more)]
    (line,) = fleet.endpoints(offline, {}, [_table("rtb-1", route)], [], ACCOUNT)
    assert line.ok is is_right


@pytest.mark.parametrize("tables", [[], [_table("rtb-1", owner="999999999999")]])
def test_a_shared_vpc_is_its_owners_to_see(tables: list[RouteTable]) -> None:
    """Neither its route tables nor its endpoints need be visible: nothing is known, and the others are still judged."""
    other = _proxy(InstanceId="i-2", VpcId="vpc-2", SubnetId="subnet-2")
    ours = replace(_table("rtb-2"), vpc="vpc-2")
    unknown, wrong = fleet.endpoints(
        [_proxy(), other], {}, [*tables, ours], [], ACCOUNT
    )
    assert (unknown.ok, wrong.ok) == (None, False)
    assert "lb (i-1)" in unknown.detail
    assert "lb (i-2)" in wrong.detail


def test_an_endpoint_without_service_is_none() -> None:
    """One of VPC Lattice names a network or a resource."""
    lattice = {"VpcId": "vpc-1", "VpcEndpointType": "Resource", "State": "Available"}
    assert not Endpoint.read(lattice).serves(_table("rtb-1"))


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("near-miss", "correct the tag"),
        ("bad-weight", "correct the tag"),
        ("no-address", "address"),
        ("foreign-subnet", "BackendSubnets"),
        ("address-reused", "on its way out"),
    ],
)
def test_who_was_left_out_is_told_what_to_do(reason: str, advice: str) -> None:
    """A tag is not at fault for every reason."""
    left = {"instance_id": "i-1", "reason": reason, "detail": ""}
    status = {"backends": ["i-2"], "proxies": {"i-3": {}}, "skipped": [left]}
    (line,) = fleet.tags(status, fleet.Tags("", "", ""))
    assert advice in line.advice


OURS = groups.Ours("haproxy-ec2-sync", "Environment", "staging", "rate(1 minute)")


def _group(name: str, *hooks: Hook) -> Group:
    return Group(name, {"Environment": "staging"}, hooks)


def _held(name: str, seconds: float = 300.0, prefix: str = "haproxy-ec2-sync") -> Group:
    """With both hooks."""
    return _group(
        name,
        Hook(f"{prefix}-in", groups.LAUNCHING, seconds),
        Hook(f"{prefix}-out", groups.TERMINATING, seconds),
    )


def test_groups_are_judged_by_hooks_of_ours_alone() -> None:
    """Who has none is told, and is no alarm; a name that begins otherwise is somebody else's."""
    (nobody,) = groups.hooks((), OURS)
    assert (nobody.ok, nobody.detail) == (
        True,
        "no backend is in an Auto Scaling group",
    )
    others = Group("b", {}, _held("b", 30.0, "chef").hooks)
    held, free = groups.hooks((_held("a"), others, _group("c")), OURS)
    assert (held.ok, held.detail) == (
        True,
        "1 group with a launch and a terminate hook of ours",
    )
    assert free.ok
    assert free.detail.startswith("b, c: no hooks of ours, so requests are cut when")


@pytest.mark.parametrize(
    ("rate", "seconds", "is_right"),
    [
        ("rate(1 minute)", 59.0, False),
        ("rate(1 minute)", 60.0, True),
        ("rate(5 minutes)", 200.0, False),
        ("", 29.0, False),
        ("", 30.0, True),
        # The default of a hook is enough for whatever rate.
        ("rate(3 hours)", 3600.0, True),
    ],
)
def test_a_hook_lasts_until_the_next_sweep(
    rate: str, seconds: float, *, is_right: bool
) -> None:
    """Which makes up for an event that was lost, and sends the first heartbeat."""
    lines = groups.hooks((_held("a", seconds),), replace(OURS, rate=rate))
    assert {line.ok for line in lines} == {is_right}
    assert all(line.advice for line in lines if not line.ok)


def test_groups_with_the_same_trouble_share_a_line() -> None:
    """However many they are."""
    found = [
        _group(f"g{number}", _held("a").hooks[1], Hook("x", groups.LAUNCHING, 30.0))
        for number in range(7)
    ]
    (line,) = groups.hooks(found, OURS)
    assert line.ok is False
    assert line.detail.startswith("no launch hook of ours, so ")
    assert line.detail.endswith(": g0, g1, g2, g3, g4 and 2 more")


def test_a_group_that_is_gone_is_nobody_s(stack_: Deployed) -> None:
    """Its instances are as others then, for the function, too."""
    group(stack_)
    stack_.says("DescribeAutoScalingGroups", AutoScalingGroups=[])
    (line,) = stack_.lines("lifecycle-hooks")
    assert (line["ok"], line["detail"]) == (
        True,
        "no backend is in an Auto Scaling group",
    )


@pytest.mark.parametrize(
    "code",
    ["ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "AuthFailure"],
)
def test_who_is_nobody_for_aws_is_told_once(code: str, stack_: Deployed) -> None:
    """Not in each line, as something that a minute mends."""
    stack_.refused = {"cloudformation:DescribeStacks": code}
    typed = stack_.doctor()
    assert (typed.status, typed.out) == (1, "")
    assert code in typed.err
    assert len(typed.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("version", "missing"),
    [
        ("3.2.985.0", "ssm, ssmmessages, s3, ec2messages"),
        ("3.3.40.0", "ssm, ssmmessages, s3"),
        ("3.3.3572.0", "ssm, ssmmessages, s3"),
    ],
)
def test_an_old_agent_needs_one_more_endpoint(version: str, missing: str) -> None:
    """Ec2messages, which newer ones do without."""
    proxy = _proxy()
    table = _table("rtb-1")
    agents = {"i-1": Agent("ConnectionLost", version)}
    (line,) = fleet.endpoints([proxy], agents, [table], [], ACCOUNT)
    assert line.detail == f"subnet-1 (rtb-1) has no way to {missing}: lb (i-1)"


@pytest.mark.parametrize(
    ("gateway", "is_public", "is_right"),
    [("nat", False, True), ("igw", True, True), ("igw", False, False)],
)
def test_the_internet_is_a_way(
    gateway: str, stack_: Deployed, *, is_public: bool, is_right: bool
) -> None:
    """By a NAT gateway; by an internet gateway only for who has a public address."""
    ec2 = stack_.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.0.0/24")["Subnet"]["SubnetId"]
    ec2.modify_subnet_attribute(
        SubnetId=subnet, MapPublicIpOnLaunch={"Value": is_public}
    )
    stack_.launch_proxies(1, SubnetId=subnet)
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    if gateway == "igw":
        made = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=made, VpcId=vpc)
        way = {"GatewayId": made}
    else:
        made = ec2.create_nat_gateway(SubnetId=subnet, ConnectivityType="private")
        way = {"NatGatewayId": made["NatGateway"]["NatGatewayId"]}
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", **way)
    (line,) = stack_.lines("endpoints")
    assert line["ok"] is is_right


def _settle_later(made: Deployed) -> None:
    """A reconcile that asked to be run again after the longest delay of SQS, and one whose try failed."""
    for age in (900, 1000):
        _metric("ApproximateAgeOfOldestMessage", age, QueueName="queue")(made)


def _hourly(made: Deployed) -> None:
    """`SweepRate` is an hour, the last sweep of which was 50 minutes ago; no event came since."""
    made.world.settings = replace(made.world.settings, sweep_seconds=3600)
    made.world.clock.advance(3000)


def _stateless(made: Deployed) -> None:
    """As Lambda tells of functions that it made before it had states."""

    def old(answer: dict[str, Any]) -> dict[str, Any]:
        for key in ("State", "LastUpdateStatus"):
            answer.pop(key, None)
        return answer

    made.said["GetFunctionConfiguration"] = old


def _own_policy(made: Deployed, **more: Any) -> None:
    """The role of the proxies has the rights without the stack's policy."""
    _detach(made)
    read = {"Action": "s3:Get*", "Resource": "arn:aws:s3:::bucket/*"}
    permit(made, "own", read | more, role="haproxy")


def _conditional(made: Deployed) -> None:
    _own_policy(made, Condition={"StringEquals": {"aws:SourceVpce": "vpce-1"}})


HEALTHY: dict[str, Callable[[Deployed], None]] = {
    "hourly sweeps": _hourly,
    "delayed messages": _settle_later,
    "a mistyped request": _metric("Errors", 0, 1, 0, FunctionName="function"),
    "errors of half an hour ago": _metric(
        "Errors", 0, 0, 0, 0, 9, 9, FunctionName="function"
    ),
    "a function without states": _stateless,
    "a policy of one's own": _own_policy,
    "a condition that the simulator cannot know": _conditional,
    "no instance profile": _managed_by_default,
    "a group with hooks": group,
    "a group without hooks": lambda made: group(made, tag="nobody's", timeouts={}),
}


@pytest.mark.parametrize("peculiar", HEALTHY)
def test_what_is_healthy_is_no_alarm(peculiar: str, stack_: Deployed) -> None:
    """However seldom an account is so."""
    HEALTHY[peculiar](stack_)
    typed = stack_.doctor("--json")
    assert [line for line in json.loads(typed.out) if not line["ok"]] == []
    assert typed.status == 0


def _operations(made: Deployed) -> list[str]:
    """All that the doctor asks of AWS."""
    _private(made)
    group(made)
    made.asked.clear()
    made.doctor("--json")
    return sorted(made.asked)


def test_what_may_not_be_asked_stops_nothing(stack_: Deployed) -> None:
    """Each API refused in turn: its checks say so and which right is missing, all others say what they said."""
    operations = _operations(stack_)
    assert len(operations) > 20
    plain = {(line["check"], line["ok"]) for line in stack_.lines()}
    for operation in operations:
        stack_.refused = {operation: "AccessDeniedException"}
        found = stack_.lines()
        refused = [line for line in found if (line["check"], line["ok"]) not in plain]
        assert refused, operation
        for line in refused:
            assert line["ok"] is None, (operation, line)
            assert line["detail"].startswith("you may not ask: "), (operation, line)
            assert line["advice"].startswith("ask for the right "), (operation, line)
        kept = {line["check"] for line in found}
        assert kept == set(NAMES), operation


@pytest.mark.parametrize(
    ("operation", "status"),
    [
        ("cloudwatch:GetMetricData", 0),
        ("iam:SimulatePrincipalPolicy", 0),
        ("lambda:Invoke", 1),
        ("ec2:DescribeInstances", 1),
    ],
)
def test_unknown_is_not_right(operation: str, status: int, stack_: Deployed) -> None:
    """What could not be asked makes the whole no better than wrong, but for what an operator may do without."""
    stack_.refused = {operation: "AccessDenied"}
    assert stack_.doctor("--json").status == status


def test_an_answer_of_an_earlier_release_is_not_known(stack_: Deployed) -> None:
    """What it lacks is told in a line; nothing crashes."""
    bare = {"action": "status", "environment": "staging"}
    stack_.said["status"] = lambda _answer: bare
    typed = stack_.doctor("--json")
    found = {line["check"]: line for line in json.loads(typed.out)}
    assert list(found) == NAMES
    assert found["release"]["ok"] is False
    assert found["look"] == {
        "check": "look",
        "ok": None,
        "detail": "not known: the function's answer has no 'looked_at'",
        "advice": "see release",
    }


def test_an_api_that_fails_is_not_known(stack_: Deployed) -> None:
    """Neither right nor wrong."""
    stack_.refused = {"sqs:GetQueueAttributes": "InternalError"}
    (line,) = stack_.lines("queue")
    assert line["ok"] is None
    assert line["detail"].startswith("not known: sqs:GetQueueAttributes: InternalError")


def test_a_stack_that_is_not_there(stack_: Deployed) -> None:
    """Its line says where nobody found it; nothing else is asked that needs it."""
    typed = stack_.shell(
        "doctor", "--stack-name", "other", "--region", REGION, "--json"
    )
    first, *others = json.loads(typed.out)
    assert first["ok"] is False
    assert "Stack with id other does not exist" in first["detail"]
    assert "--stack-name" in first["advice"]
    assert not any(line["ok"] for line in others)
    assert typed.status == 1


def test_it_ends_in_time(stack_: Deployed) -> None:
    """Once its time is up it asks nothing more."""
    target = Target(NAME, REGION)
    stack_.asked.clear()
    found = list(checks.run(Account(target, stack_.client, seconds=-1)))
    assert {each.line.ok for each in found} == {None}
    assert "all the time went into earlier questions" in found[0].line.detail
    assert stack_.asked == set()


def test_it_changes_nothing(stack_: Deployed) -> None:
    """Every operation reads; the function's look for the plan is its own."""
    reads = ("Describe", "Get", "List", "Head", "Simulate")
    operations = {each.split(":")[1] for each in _operations(stack_)}
    assert [
        each for each in operations - {"Invoke"} if not each.startswith(reads)
    ] == []
    assert {each["action"] for each in stack_.shell.asked} == {"status", "plan"}


def test_it_asks_what_the_documents_policy_allows(stack_: Deployed) -> None:
    """All of it, and nothing else."""
    asked = {ACTIONS.get(each, each) for each in _operations(stack_)}
    doctors = {
        action
        for statement in reference.policy()["Statement"]
        for action in statement["Action"]
        if statement["Sid"] != "Logs"
    }
    assert asked == doctors


def test_what_it_expects_is_what_is_deployed() -> None:
    """Outputs, policies and variables have their names in template.yaml."""
    template = source()
    assert set(OUTPUTS) <= set(template["Outputs"])
    role = template["Resources"]["ReconcileRole"]["Properties"]
    # Not that of secrets, which only a stack has that names some.
    always = [policy for policy in role["Policies"] if "Fn::If" not in policy]
    assert [policy["PolicyName"] for policy in always] == list(POLICIES)
    rules = {
        name
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Events::Rule"
    }
    assert rules == set(RULES)
