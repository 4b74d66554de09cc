"""The deployed stack keeps the rules of the check modules, and each rule notices the fault that it is there for."""

import copy
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.template import access_checks, document_checks, wiring_checks
from tests.template.stack import Stack, deployed
from tests.template.translate import Template, include

type Check = Callable[[Stack], Iterator[str]]
type Fault = Callable[[dict[str, Any]], object]


def check(function: Check, *faults: str) -> Any:
    """The check, with the faults of docs/faults.md that it stands for."""
    return pytest.param(
        function,
        id=function.__name__,
        marks=[pytest.mark.fault(fault) for fault in faults],
    )


@pytest.mark.parametrize(
    "rule",
    [
        check(access_checks.only_our_rules_send, "F07", "F97"),
        check(access_checks.sqs_takes_queue_policies),
        check(access_checks.nobody_is_everybody, "F97"),
        check(access_checks.tls_only),
        check(access_checks.function_acts_exactly, "F100"),
        check(access_checks.function_reaches_its_own, "F100"),
        check(access_checks.commands_are_fenced, "F57", "F100"),
        check(access_checks.lifecycle_actions_are_fenced, "F270"),
        check(access_checks.bucket_access_is_narrow, "F98", "F100"),
        check(access_checks.earlier_buckets_are_only_looked_at, "F183"),
        check(access_checks.proxies_only_download, "F98", "F99"),
        check(wiring_checks.queue_outlasts_function, "F52"),
        check(wiring_checks.only_the_queue_invokes, "F06"),
        check(wiring_checks.targets_lose_nothing, "F07"),
        check(wiring_checks.a_beat_exists, "F03"),
        check(wiring_checks.bucket_is_private),
        check(wiring_checks.no_config_expires),
        check(wiring_checks.deletion_is_decided),
        check(wiring_checks.proxies_can_follow),
        check(wiring_checks.the_attached_policy_stays, "F178"),
        check(wiring_checks.queues_are_encrypted, "F07"),
        check(wiring_checks.log_is_kept_and_bounded),
        check(wiring_checks.names_are_free),
        check(wiring_checks.alarms_reach_somebody),
        check(wiring_checks.scanner_skips_have_reasons),
        check(document_checks.updates_in_place, "F64"),
        check(document_checks.parameters_are_hardened, "F59"),
        check(document_checks.nothing_is_pasted, "F59"),
        check(document_checks.script_starts_and_ends, "F96"),
        check(document_checks.a_command_names_its_program),
        check(document_checks.one_program_runs, "F98"),
        check(document_checks.steps_stop),
    ],
)
def test_stack_keeps(rule: Check, staging: Stack) -> None:
    """The deployed stack gives a rule nothing to complain about."""
    assert list(rule(staging)) == []


def properties(template: Template, logical_id: str) -> dict[str, Any]:
    """Properties of a resource, to be changed."""
    found: dict[str, Any] = template["Resources"][logical_id]["Properties"]
    return found


def statement(template: Template, logical_id: str, sid: str) -> dict[str, Any]:
    """A statement of a resource's policy, to be changed."""
    policy = properties(template, logical_id)
    documents = [each["PolicyDocument"] for each in policy.get("Policies", [policy])]
    every = [each for document in documents for each in document.get("Statement", [])]
    return next(each for each in every if each["Sid"] == sid)


def queue_event(template: Template) -> dict[str, Any]:
    """Properties of the function's only event."""
    found: dict[str, Any] = properties(template, "ReconcileFunction")["Events"][
        "Queue"
    ]["Properties"]
    return found


def target(template: Template) -> dict[str, Any]:
    """A rule's target, to be changed."""
    found: dict[str, Any] = properties(template, "UploadRule")["Targets"][0]
    return found


def document(template: Template) -> dict[str, Any]:
    """The document's content, to be changed."""
    found: dict[str, Any] = properties(template, "ApplyDocument")["Content"]
    return found


def apply(template: Template) -> dict[str, Any]:
    """Inputs of the step that runs the script, to be changed."""
    inputs: dict[str, Any] = document(template)["mainSteps"][-1]["inputs"]
    return inputs


def edit_script(template: Template, change: Callable[[str], str]) -> None:
    """Change the script."""
    inputs = apply(template)
    inputs["runCommand"] = [change(text) for text in inputs["runCommand"]]


def room(template: Template) -> int:
    """How many characters the script may have more, if the document were submitted without a blank too many."""
    return document_checks.SIZE_LIMIT - 2048 - len(json.dumps(document(template)))


def edit_policy(template: Template, name: str, old: str, new: str) -> None:
    """Change a policy that is written as text."""
    policies = properties(template, "ReconcileRole")["Policies"]
    (policy,) = [each for each in policies if each["PolicyName"] == name]
    text = policy["PolicyDocument"]["Fn::Sub"]
    assert old in text
    policy["PolicyDocument"]["Fn::Sub"] = text.replace(old, new)


FAULTS: dict[str, tuple[Check, Fault]] = {
    "queue policy without source": (
        access_checks.only_our_rules_send,
        lambda t: statement(t, "QueuePolicy", "OurRules").pop("Condition"),
    ),
    "queue policy forgets a rule": (
        access_checks.only_our_rules_send,
        lambda t: statement(t, "QueuePolicy", "OurRules")["Condition"]["ArnEquals"][
            "aws:SourceArn"
        ].pop(),
    ),
    "queue policy of one queue only": (
        access_checks.only_our_rules_send,
        lambda t: properties(t, "QueuePolicy")["Queues"].pop(),
    ),
    "queue policy names another queue": (
        access_checks.only_our_rules_send,
        lambda t: statement(t, "QueuePolicy", "OurRules").update(
            Resource={"Fn::GetAtt": ["EventQueue", "Arn"]}
        ),
    ),
    "queue policy also lets others read": (
        access_checks.only_our_rules_send,
        lambda t: statement(t, "QueuePolicy", "OurRules").update(
            Action=["sqs:SendMessage", "sqs:ReceiveMessage"]
        ),
    ),
    "queue policy with two resources in a statement": (
        access_checks.sqs_takes_queue_policies,
        lambda t: statement(t, "QueuePolicy", "TlsOnly").update(
            Resource=[
                {"Fn::GetAtt": [queue, "Arn"]}
                for queue in ("EventQueue", "DeadLetterQueue")
            ]
        ),
    ),
    "queue policy for everybody": (
        access_checks.nobody_is_everybody,
        lambda t: statement(t, "QueuePolicy", "OurRules").update(Principal="*"),
    ),
    "queue policy for every AWS account": (
        access_checks.nobody_is_everybody,
        lambda t: statement(t, "QueuePolicy", "OurRules").update(
            Principal={"AWS": "*"}
        ),
    ),
    "visibility shorter than a run": (
        wiring_checks.queue_outlasts_function,
        lambda t: properties(t, "EventQueue").update(VisibilityTimeout=30),
    ),
    "visibility as long as a run": (
        wiring_checks.queue_outlasts_function,
        lambda t: properties(t, "EventQueue").update(VisibilityTimeout=60),
    ),
    "no dead-letter queue": (
        wiring_checks.queue_outlasts_function,
        lambda t: properties(t, "EventQueue").pop("RedrivePolicy"),
    ),
    "whole batch fails": (
        wiring_checks.only_the_queue_invokes,
        lambda t: queue_event(t).pop("FunctionResponseTypes"),
    ),
    "no maximum concurrency": (
        wiring_checks.only_the_queue_invokes,
        lambda t: queue_event(t).pop("ScalingConfig"),
    ),
    "maximum concurrency below the minimum": (
        wiring_checks.only_the_queue_invokes,
        lambda t: queue_event(t).update(ScalingConfig={"MaximumConcurrency": 1}),
    ),
    "batching window": (
        wiring_checks.only_the_queue_invokes,
        lambda t: queue_event(t).update(MaximumBatchingWindowInSeconds=10),
    ),
    "any document": (
        access_checks.commands_are_fenced,
        lambda t: edit_policy(
            t, "send-command", "document/${ApplyDocument}", "document/*"
        ),
    ),
    "any instance of the environment": (
        access_checks.commands_are_fenced,
        lambda t: edit_policy(
            t,
            "send-command",
            '"ssm:resourceTag/${TypeTagKey}": "${ProxyTagValue}"',
            '"aws:x": "y"',
        ),
    ),
    "no tag condition": (
        access_checks.commands_are_fenced,
        lambda t: edit_policy(t, "send-command", '"StringEquals"', '"StringNotEquals"'),
    ),
    "lifecycle actions of every group": (
        access_checks.lifecycle_actions_are_fenced,
        lambda t: edit_policy(
            t, "lifecycle-actions", '"StringEquals"', '"StringEqualsIfExists"'
        ),
    ),
    "lifecycle actions of another environment": (
        access_checks.lifecycle_actions_are_fenced,
        lambda t: edit_policy(
            t, "lifecycle-actions", '": "${Environment}"', '": "production"'
        ),
    ),
    "lifecycle actions of everybody": (
        access_checks.lifecycle_actions_are_fenced,
        lambda t: statement(t, "ReconcileRole", "LookAtFleet")["Action"].extend(
            access_checks.LIFECYCLE_ACTIONS
        ),
    ),
    "any Auto Scaling action": (
        access_checks.lifecycle_actions_are_fenced,
        lambda t: edit_policy(
            t, "lifecycle-actions", '"autoscaling:Complete', '"autoscaling:SetDesired'
        ),
    ),
    "target without dead-letter queue": (
        wiring_checks.targets_lose_nothing,
        lambda t: target(t).pop("DeadLetterConfig"),
    ),
    "retry below the minimum": (
        wiring_checks.targets_lose_nothing,
        lambda t: target(t)["RetryPolicy"].update(MaximumEventAgeInSeconds=30),
    ),
    "misspelt rate": (
        wiring_checks.a_beat_exists,
        lambda t: properties(t, "SweepRule").update(
            ScheduleExpression="rate(5 minute)"
        ),
    ),
    "sweep switched off": (
        wiring_checks.a_beat_exists,
        lambda t: properties(t, "SweepRule").update(State="DISABLED"),
    ),
    "pattern not anchored": (
        document_checks.parameters_are_hardened,
        lambda t: document(t)["parameters"]["Md5"].update(
            allowedPattern="[0-9a-f]{32}"
        ),
    ),
    "pattern takes a quote": (
        document_checks.parameters_are_hardened,
        lambda t: document(t)["parameters"]["ConfigPath"].update(
            allowedPattern="^/.*$"
        ),
    ),
    "pattern that RE2 refuses": (
        document_checks.parameters_are_hardened,
        lambda t: document(t)["parameters"]["Md5"].update(
            allowedPattern="^(?=[0-9a-f]{32})[0-9a-f]{32}$"
        ),
    ),
    "value pasted into shell": (
        document_checks.nothing_is_pasted,
        lambda t: edit_script(t, lambda text: f"{text}\necho {{{{ Md5 }}}}"),
    ),
    "value not as environment": (
        document_checks.nothing_is_pasted,
        lambda t: document(t)["parameters"]["Md5"].pop("interpolationType"),
    ),
    "wrong schema version": (
        document_checks.updates_in_place,
        lambda t: document(t).update(schemaVersion="2.0"),
    ),
    "document replaced on change": (
        document_checks.updates_in_place,
        lambda t: properties(t, "ApplyDocument").pop("UpdateMethod"),
    ),
    "CRLF in the script": (
        document_checks.script_starts_and_ends,
        lambda t: edit_script(t, lambda text: text.replace("\n", "\r\n")),
    ),
    "script as a bare string": (
        document_checks.script_starts_and_ends,
        lambda t: apply(t).update(runCommand=apply(t)["runCommand"][0]),
    ),
    "script in lines": (
        document_checks.script_starts_and_ends,
        lambda t: apply(t).update(runCommand=apply(t)["runCommand"][0].split("\n")),
    ),
    "a document that only fits without its indentation": (
        document_checks.script_starts_and_ends,
        lambda t: edit_script(t, lambda text: text + "#" * room(t)),
    ),
    "comment before the shebang": (
        document_checks.script_starts_and_ends,
        lambda t: edit_script(t, lambda text: f"# apply\n{text}"),
    ),
    "script after a failed download": (
        document_checks.steps_stop,
        lambda t: document(t)["mainSteps"][0]["inputs"].pop("onFailure"),
    ),
    "script after a failed download of the program": (
        document_checks.steps_stop,
        lambda t: document(t)["mainSteps"][1]["inputs"].pop("onFailure"),
    ),
    "any program": (
        document_checks.one_program_runs,
        lambda t: document(t)["parameters"]["ProgramUrl"].update(
            allowedPattern="^https://bucket/program/[0-9a-f]{64}/haproxy_apply\\.zip$"
        ),
    ),
    "another program than the launcher compares": (
        document_checks.one_program_runs,
        lambda t: edit_script(t, lambda text: re.sub("[0-9a-f]{64}", "a" * 64, text)),
    ),
    "a program by default": (
        document_checks.a_command_names_its_program,
        lambda t: document(t)["parameters"]["ProgramUrl"].update(default="x"),
    ),
    "a publisher by default": (
        document_checks.a_command_names_its_program,
        lambda t: document(t)["parameters"]["Publisher"].update(default="x"),
    ),
    "bucket without TLS": (
        access_checks.tls_only,
        lambda t: statement(t, "ConfigBucketPolicy", "TlsOnly").update(
            Effect="Allow", Principal={"AWS": "1"}
        ),
    ),
    "queue without TLS": (
        access_checks.tls_only,
        lambda t: statement(t, "QueuePolicy", "TlsOnly").update(
            Resource={"Fn::GetAtt": ["EventQueue", "Arn"]}
        ),
    ),
    "alarm that tells nobody": (
        wiring_checks.alarms_reach_somebody,
        lambda t: t["Resources"].update(
            Alarm={
                "Type": "AWS::CloudWatch::Alarm",
                "Properties": {"TreatMissingData": "breaching"},
            }
        ),
    ),
    "misspelt action": (
        access_checks.function_acts_exactly,
        lambda t: statement(t, "ReconcileRole", "LookAtFleet")["Action"].append(
            "ec2:DescribeInstance"
        ),
    ),
    "every action on the bucket": (
        access_checks.function_acts_exactly,
        lambda t: statement(t, "ReconcileRole", "ReadUploads").update(Action="s3:*"),
    ),
    "action dropped": (
        access_checks.function_acts_exactly,
        lambda t: statement(t, "ReconcileRole", "LookAtFleet")["Action"].pop(),
    ),
    "write access everywhere": (
        access_checks.function_reaches_its_own,
        lambda t: statement(t, "ReconcileRole", "KeepStateConfigsAndProgram").update(
            Resource="*"
        ),
    ),
    "function may write templates": (
        access_checks.bucket_access_is_narrow,
        lambda t: statement(t, "ReconcileRole", "ReadUploads").update(
            Action=["s3:GetObject", "s3:PutObject"]
        ),
    ),
    "function may list all of an earlier bucket": (
        access_checks.earlier_buckets_are_only_looked_at,
        lambda t: statement(t, "ReconcileRole", "ListEarlierUploads").pop("Condition"),
    ),
    "function may read an earlier bucket": (
        access_checks.earlier_buckets_are_only_looked_at,
        lambda t: statement(t, "ReconcileRole", "ListEarlierUploads").update(
            Action=["s3:ListBucket", "s3:GetObject"]
        ),
    ),
    "function may list everybody's buckets": (
        access_checks.bucket_access_is_narrow,
        lambda t: statement(t, "ReconcileRole", "ListEarlierUploads").update(
            Resource="*"
        ),
    ),
    "proxies may write": (
        access_checks.proxies_only_download,
        lambda t: statement(t, "ProxyPolicy", "DownloadConfig").update(
            Action=["s3:GetObject", "s3:PutObject"]
        ),
    ),
    "proxies may read everything": (
        access_checks.proxies_only_download,
        lambda t: statement(t, "ProxyPolicy", "DownloadConfig").update(Resource="*"),
    ),
    "proxies may not read the program": (
        access_checks.proxies_only_download,
        lambda t: statement(t, "ProxyPolicy", "DownloadProgram").update(
            Resource={"Fn::Sub": "${ConfigBucket.Arn}/configs/program/*"}
        ),
    ),
    "commands before the proxies may read the program": (
        wiring_checks.proxies_can_follow,
        lambda t: t["Resources"]["ReconcileFunction"].pop("DependsOn"),
    ),
    "a description with the environment": (
        wiring_checks.the_attached_policy_stays,
        lambda t: properties(t, "ProxyPolicy").update(
            Description={"Fn::Sub": "Lets a HAProxy host of ${Environment} download"}
        ),
    ),
    "a path of the proxies' policy": (
        wiring_checks.the_attached_policy_stays,
        lambda t: properties(t, "ProxyPolicy").update(
            Path={"Fn::Sub": "/${Environment}/"}
        ),
    ),
    "log without retention": (
        wiring_checks.log_is_kept_and_bounded,
        lambda t: properties(t, "ReconcileLog").pop("RetentionInDays"),
    ),
    "public bucket": (
        wiring_checks.bucket_is_private,
        lambda t: properties(t, "ConfigBucket")[
            "PublicAccessBlockConfiguration"
        ].update(BlockPublicAcls=False),
    ),
    "uploads make no events": (
        wiring_checks.bucket_is_private,
        lambda t: properties(t, "ConfigBucket").pop("NotificationConfiguration"),
    ),
    "configs expire": (
        wiring_checks.no_config_expires,
        lambda t: properties(t, "ConfigBucket")["LifecycleConfiguration"]["Rules"][
            1
        ].update(ExpirationInDays=30),
    ),
    "checks stay": (
        wiring_checks.no_config_expires,
        lambda t: properties(t, "ConfigBucket")["LifecycleConfiguration"]["Rules"][
            2
        ].pop("ExpirationInDays"),
    ),
    "checks take configs along": (
        wiring_checks.no_config_expires,
        lambda t: properties(t, "ConfigBucket")["LifecycleConfiguration"]["Rules"][
            2
        ].update(Prefix="configs/check/"),
    ),
    "bucket deleted with the stack": (
        wiring_checks.deletion_is_decided,
        lambda t: t["Resources"]["ConfigBucket"].pop("DeletionPolicy"),
    ),
    "bucket of a failed first deploy left behind": (
        wiring_checks.deletion_is_decided,
        lambda t: t["Resources"]["ConfigBucket"].update(DeletionPolicy="Retain"),
    ),
    "queue with a key of its own": (
        wiring_checks.queues_are_encrypted,
        lambda t: properties(t, "EventQueue").update(KmsMasterKeyId="alias/aws/sqs"),
    ),
    "scanner silenced without a reason": (
        wiring_checks.scanner_skips_have_reasons,
        lambda t: t["Resources"]["EventQueue"]["Metadata"]["checkov"]["skip"][0].pop(
            "comment"
        ),
    ),
    "fixed name": (
        wiring_checks.names_are_free,
        lambda t: properties(t, "EventQueue").update(QueueName="events"),
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_rule_notices(name: str, source: Template) -> None:
    """A fault planted into the template makes the rule complain that is there for it."""
    rule, plant = FAULTS[name]
    faulty = include(copy.deepcopy(source))
    plant(faulty)
    assert list(rule(deployed(faulty, Environment="staging")))
