"""What the Run Command stand-in refuses, and with which error: the service's own rules, and what it does not play."""

import copy
import hashlib
import json
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.core.utils import camelcase_to_underscores
from moto.ssm.models import Document

from local.cloud import cloudformation
from local.cloud.document_text import submitted
from local.run_command.document import MAX_BYTES
from tests.local.run_command_bench import (
    DOCUMENT,
    PUBLISHER,
    Bench,
    Json,
    ids,
    program_url,
)

HOST_DOCUMENT = Path(__file__).parents[2] / "src/host/document.json"


def refused(call: Any, **request: Any) -> str:
    """The code of the error that a call raises."""
    with pytest.raises(ClientError) as caught:
        call(**request)
    return str(caught.value.response["Error"]["Code"])


def changed(**changes: Any) -> Json:
    """The sample document with changed keys."""
    return {**copy.deepcopy(DOCUMENT), **changes}


def with_parameter(**declaration: Any) -> Json:
    """The sample document with one parameter more."""
    return changed(
        parameters={**DOCUMENT["parameters"], "More": {"type": "String", **declaration}}
    )


def with_step(**step: Any) -> Json:
    """The sample document with a changed step."""
    return changed(mainSteps=[{**DOCUMENT["mainSteps"][0], **step}])


def with_input(**inputs: Any) -> Json:
    """The sample document with more inputs of its step."""
    return with_step(inputs={**DOCUMENT["mainSteps"][0]["inputs"], **inputs})


def with_download(**inputs: Any) -> Json:
    """The sample document with a download before its step."""
    source = {
        "sourceType": "S3",
        "sourceInfo": {"path": "https://..."},
        "destinationPath": "haproxy.cfg",
    }
    download = {
        "action": "aws:downloadContent",
        "name": "download",
        "inputs": {**source, **inputs},
    }
    return changed(mainSteps=[download, *DOCUMENT["mainSteps"]])


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"TimeoutSeconds": 2_592_001}, "ValidationException"),
        ({"Comment": "x" * 101}, "ValidationException"),
        ({"InstanceIds": ids(51)}, "ValidationException"),
        ({"InstanceIds": ["not-an-id"]}, "ValidationException"),
        ({"DocumentName": "no spaces"}, "ValidationException"),
        ({"DocumentVersion": "0"}, "ValidationException"),
        ({"DocumentHash": "x" * 257}, "ValidationException"),
        ({"DocumentHashType": "Md5"}, "ValidationException"),
        ({"MaxConcurrency": "0"}, "ValidationException"),
        ({"MaxConcurrency": "101%"}, "ValidationException"),
        ({"MaxErrors": "-1"}, "ValidationException"),
        ({"InstanceIds": []}, "ValidationException"),
        ({"InstanceIds": [ids(1)[0], ids(1)[0]]}, "DuplicateInstanceId"),
        ({"InstanceIds": [*ids(2), "i-0123456789abcdef0"]}, "InvalidInstanceId"),
        ({"DocumentName": "Unknown"}, "InvalidDocument"),
        ({"DocumentVersion": "2"}, "InvalidDocumentVersion"),
        ({"DocumentHash": "0" * 64}, "InvalidDocument"),
        ({"Parameters": {}}, "InvalidParameters"),
        ({"Parameters": {"Md5": ["abcd"], "Other": ["x"]}}, "InvalidParameters"),
        ({"Parameters": {"Md5": ["abcde"]}}, "InvalidParameters"),
        ({"Parameters": {"Md5": ["ABCD"]}}, "InvalidParameters"),
        ({"Parameters": {"Md5": ["abcd", "abcd"]}}, "InvalidParameters"),
        ({"Parameters": {"Md5": []}}, "InvalidParameters"),
        ({"Parameters": {"Md5": ["abcd"], "Method": ["other"]}}, "InvalidParameters"),
    ],
)
def test_a_wrong_send_command_is_refused_as_a_whole(
    bench: Bench, request_: Json, code: str
) -> None:
    """SendCommand answers a wrong request with the service's error and sends nothing to anybody."""
    hosts = bench.hosts(2)
    request = {
        "DocumentName": "Apply",
        "InstanceIds": hosts,
        "Parameters": {"Md5": ["abcd"]},
        **request_,
    }
    assert refused(bench.ssm.send_command, **request) == code
    bench.run(3)
    assert bench.service.commands == []


def test_the_limits_themselves_are_allowed(bench: Bench) -> None:
    """The greatest request that the model allows goes through."""
    digest = hashlib.sha256(json.dumps(DOCUMENT).encode()).hexdigest()
    command_id = bench.send(
        bench.hosts(50),
        TimeoutSeconds=30,
        Comment="x" * 100,
        MaxConcurrency="100%",
        MaxErrors="100%",
        DocumentVersion="1",
        DocumentHash=digest,
        DocumentHashType="Sha256",
    )
    bench.run(10)
    assert bench.command(command_id).detail == "Success"


def test_one_unreachable_host_makes_the_whole_call_fail(bench: Bench) -> None:
    """With InstanceIds, one agent that lost its connection fails the call for all."""
    hosts = bench.hosts(2)
    bench.service.disconnect(hosts[1])
    bench.run(301)
    assert refused(bench.send, instance_ids=hosts) == "InvalidInstanceId"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("{", "InvalidDocumentContent"),
        ("[]", "InvalidDocumentContent"),
        (changed(schemaVersion="1.2"), "InvalidDocumentSchemaVersion"),
        (changed(steps=[]), "InvalidDocumentContent"),
        (changed(mainSteps=[]), "InvalidDocumentContent"),
        (changed(mainSteps=DOCUMENT["mainSteps"] * 2), "InvalidDocumentContent"),
        (with_step(name="a name"), "InvalidDocumentContent"),
        (with_step(action="aws:runShellScripts"), "InvalidDocumentContent"),
        (with_step(onFailure="exit"), "InvalidDocumentContent"),
        (with_step(inputs=None), "InvalidDocumentContent"),
        (with_parameter(type="string"), "InvalidDocumentContent"),
        (with_parameter(pattern="x"), "InvalidDocumentContent"),
        (with_parameter(interpolationType="ENV"), "InvalidDocumentContent"),
        (
            with_parameter(type="StringList", interpolationType="ENV_VAR"),
            "InvalidDocumentContent",
        ),
        (with_parameter(allowedPattern="("), "InvalidDocumentContent"),
        (with_parameter(allowedPattern="^a$", default="b"), "InvalidDocumentContent"),
        (changed(description="x" * MAX_BYTES), "MaxDocumentSizeExceeded"),
    ],
)
def test_a_wrong_document_is_not_created(
    bench: Bench, content: str | Json, code: str
) -> None:
    """CreateDocument and UpdateDocument check the content."""
    text = content if isinstance(content, str) else json.dumps(content)
    assert (
        refused(
            bench.ssm.create_document,
            Name="Wrong",
            Content=text,
            DocumentType="Command",
        )
        == code
    )
    assert (
        refused(
            bench.ssm.update_document,
            Name="Apply",
            Content=text,
            DocumentVersion="$LATEST",
        )
        == code
    )


def test_parameters_count_against_the_size_of_the_document(bench: Bench) -> None:
    """Document and parameter values together stay under 64 KB."""
    content = json.dumps(changed(parameters={"Text": {"type": "String"}}))
    bench.ssm.create_document(Name="Large", Content=content, DocumentType="Command")
    room = MAX_BYTES - len(content)
    hosts = bench.hosts(1)
    bench.send(hosts, DocumentName="Large", Parameters={"Text": ["x" * room]})
    request = {"DocumentName": "Large", "Parameters": {"Text": ["x" * (room + 1)]}}
    assert (
        refused(bench.send, instance_ids=hosts, **request) == "MaxDocumentSizeExceeded"
    )


def test_an_unanchored_pattern_lets_everything_around_it_through(bench: Bench) -> None:
    """AllowedPattern is searched for, not matched as a whole, and `$` of the service accepts a final newline."""
    document = changed(
        parameters={"Loose": {"type": "String", "allowedPattern": "[0-9]{4}"}}
    )
    bench.ssm.create_document(
        Name="Loose", Content=json.dumps(document), DocumentType="Command"
    )
    bench.send(
        bench.hosts(1), DocumentName="Loose", Parameters={"Loose": ["$(id) 1234 `id`"]}
    )
    bench.send(ids(1), Parameters={"Md5": ["abcd\n"]})


@pytest.mark.fault("F59")
@pytest.mark.parametrize(
    "value", ['"; id; "', "$(id)", "a\nb", "{{ssm:x}}", "", "0" * 33, "A" * 32]
)
def test_the_real_document_refuses_values_that_could_be_shell(
    bench: Bench, value: str
) -> None:
    """SendCommand with the project's document and a value that is no digest never reaches a host."""
    bench.ssm.create_document(
        Name="Real", Content=HOST_DOCUMENT.read_text(), DocumentType="Command"
    )
    declared = json.loads(HOST_DOCUMENT.read_text())["parameters"]
    good = {
        "SourceUrl": "https://bucket.s3.eu-west-1.amazonaws.com/configs/staging/"
        + "a" * 64
        + "/haproxy.cfg",
        "ProgramUrl": program_url("bucket"),
        "Md5": "0" * 32,
        "Sha256": "a" * 64,
        "Generation": "7",
        "ConfigPath": "/etc/haproxy/haproxy.cfg",
        "ReloadMethod": "auto",
        "ListenPorts": "80,443",
        "Publisher": PUBLISHER,
        "Adopt": "false",
        "SecretLines": "3,17-19",
        "AllowUnsafeKeywords": "program",
        "Watch": "10.0.0.1:8080",
        "Action": "apply",
    }
    parameters = {name: [good[name]] for name in declared}
    hosts = bench.hosts(1)
    bench.send(hosts, DocumentName="Real", Parameters=parameters)
    for name in declared:
        request = {"DocumentName": "Real", "Parameters": {**parameters, name: [value]}}
        assert refused(bench.send, instance_ids=hosts, **request) == "InvalidParameters"


@pytest.mark.fault("F101")
@pytest.mark.parametrize(
    "address",
    [
        [],
        [program_url("bucket", "0" * 64)],
        [program_url("bucket") + "?versionId=1"],
    ],
)
def test_the_real_document_takes_one_program(bench: Bench, address: list[str]) -> None:
    """A command that names another one, or none, is refused as a whole."""
    bench.ssm.create_document(
        Name="Real", Content=HOST_DOCUMENT.read_text(), DocumentType="Command"
    )
    hosts = bench.hosts(1)
    named = {"Publisher": [PUBLISHER]}
    good = {"ProgramUrl": [program_url("bucket")], **named}
    bench.send(hosts, DocumentName="Real", Parameters=good)
    request = {"ProgramUrl": address, **named} if address else named
    assert (
        refused(bench.send, instance_ids=hosts, DocumentName="Real", Parameters=request)
        == "InvalidParameters"
    )
    assert len(bench.service.commands) == 1


def test_versions_of_a_document_can_be_pinned(bench: Bench) -> None:
    """$DEFAULT, $LATEST and a number name versions, and each has its hash."""
    second = json.dumps(changed(description="second"))
    bench.ssm.update_document(Name="Apply", Content=second, DocumentVersion="$LATEST")
    hosts = bench.hosts(1)
    digest = hashlib.sha256(second.encode()).hexdigest()
    assert (
        bench.ssm.describe_document(Name="Apply")["Document"]["DocumentVersion"] == "1"
    )
    latest = bench.ssm.describe_document(Name="Apply", DocumentVersion="$LATEST")
    assert (latest["Document"]["DocumentVersion"], latest["Document"]["Hash"]) == (
        "2",
        digest,
    )
    bench.send(hosts, DocumentVersion="2", DocumentHash=digest)
    assert (
        refused(bench.send, instance_ids=hosts, DocumentHash=digest)
        == "InvalidDocument"
    )
    bench.ssm.update_document_default_version(Name="Apply", DocumentVersion="2")
    assert bench.ssm.describe_document(Name="Apply")["Document"]["Hash"] == digest
    bench.send(hosts, DocumentHash=digest)


def test_each_version_of_a_document_keeps_its_content(bench: Bench) -> None:
    """Byte for byte as it was submitted; a version or a document that is not there is an error of its own."""
    first, second = json.dumps(DOCUMENT), json.dumps(changed(description="2"), indent=4)
    bench.ssm.update_document(Name="Apply", Content=second, DocumentVersion="$LATEST")
    get = partial(bench.ssm.get_document, Name="Apply")
    assert get()["Content"] == get(DocumentVersion="1")["Content"] == first
    newest = get(DocumentVersion="$LATEST", DocumentFormat="JSON")
    assert (newest["Content"], newest["DocumentVersion"]) == (second, "2")
    assert refused(get, DocumentVersion="3") == "InvalidDocumentVersion"
    assert refused(bench.ssm.get_document, Name="Other") == "InvalidDocument"


def test_a_stack_submits_a_document_pretty_printed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arrays in one line, and numbers as strings; an update makes a version more, and moves the default one."""
    update = classmethod(cloudformation.new_version)
    monkeypatch.setattr(Document, "update_from_cloudformation_json", update)
    step = {**DOCUMENT["mainSteps"][0], "inputs": {"timeoutSeconds": 5}}
    document = {
        "Type": "AWS::SSM::Document",
        "Properties": {
            "Content": {"schemaVersion": "2.2", "mainSteps": [step]},
            "UpdateMethod": "NewVersion",
            "Name": "Stacked",
        },
    }
    template: Json = {"Resources": {"Document": document}}
    stacks = boto3.client("cloudformation")
    stacks.create_stack(StackName="s", TemplateBody=json.dumps(template))
    get = partial(bench.ssm.get_document, Name="Stacked")
    assert get()["Content"].splitlines() == [
        "{",
        '  "schemaVersion" : "2.2",',
        '  "mainSteps" : [ {',
        '    "action" : "aws:runShellScript",',
        '    "name" : "apply",',
        '    "inputs" : {',
        '      "timeoutSeconds" : "5"',
        "    }",
        "  } ]",
        "}",
    ]
    document["Properties"]["Content"]["description"] = "second"  # type: ignore[index]
    stacks.update_stack(StackName="s", TemplateBody=json.dumps(template))
    assert get()["DocumentVersion"] == "2"
    assert json.loads(get(DocumentVersion="2")["Content"])["description"] == "second"
    assert "description" not in json.loads(get(DocumentVersion="1")["Content"])


def test_what_is_empty_has_a_blank_in_it() -> None:
    """As Jackson writes it, and characters beyond ASCII as they are."""
    written = '{\n  "a" : { },\n  "b" : [ ],\n  "c" : [ "x", "\u00fc\\n" ]\n}'
    assert submitted({"a": {}, "b": [], "c": ["x", "\u00fc\n"]}) == written


def test_a_document_of_a_stack_is_checked_like_any_other(bench: Bench) -> None:
    """CloudFormation hands the content over as a mapping; it can be sent, described and refused all the same."""
    cloudformation = boto3.client("cloudformation")
    template = {
        "Resources": {
            "Document": {
                "Type": "AWS::SSM::Document",
                "Properties": {"Content": DOCUMENT},
            }
        }
    }
    cloudformation.create_stack(StackName="good", TemplateBody=json.dumps(template))
    [resource] = cloudformation.describe_stack_resources(StackName="good")[
        "StackResources"
    ]
    name = resource["PhysicalResourceId"]
    digest = bench.ssm.describe_document(Name=name)["Document"]["Hash"]
    bench.send(bench.hosts(1), DocumentName=name, DocumentHash=digest)
    template["Resources"]["Document"]["Properties"] = {
        "Content": with_step(action="aws:none")
    }
    # moto warns that CloudFormation's model does not know the error of another service.
    with (
        pytest.warns(UserWarning, match="InvalidDocumentContent"),
        pytest.raises(ClientError, match="not valid"),
    ):
        cloudformation.create_stack(StackName="bad", TemplateBody=json.dumps(template))


def test_nobody_else_is_sent_the_command(bench: Bench) -> None:
    """Only the named instances get an invocation."""
    hosts = bench.hosts(5)
    command_id = bench.send(hosts[1:3])
    bench.run(5)
    assert list(bench.invocations(command_id)) == hosts[1:3]
    assert len(bench.command(command_id).invocations) == 2


def test_instance_information_has_pages_and_a_filter(bench: Bench) -> None:
    """DescribeInstanceInformation gives ten at a time, at most 50; all or those asked for, reachable or not."""
    hosts = bench.hosts(60)
    bench.service.disconnect(hosts[0])
    bench.run(301)
    describe = bench.ssm.describe_instance_information
    assert len(describe()["InstanceInformationList"]) == 10
    assert refused(describe, MaxResults=51) == "ValidationException"
    assert refused(describe, NextToken="elsewhere") == "InvalidNextToken"
    too_many = [{"Key": "InstanceIds", "Values": ids(101)}]
    assert refused(describe, Filters=too_many) == "ValidationException"
    paginator = bench.ssm.get_paginator("describe_instance_information")
    pages = paginator.paginate(Filters=[{"Key": "InstanceIds", "Values": hosts[:55]}])
    status = {
        one["InstanceId"]: one["PingStatus"]
        for page in pages
        for one in page["InstanceInformationList"]
    }
    assert status == {hosts[0]: "ConnectionLost"} | dict.fromkeys(hosts[1:55], "Online")


COMMAND_ID = "0" * 36


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("CancelCommand", {"CommandId": COMMAND_ID}),
        ("ListCommands", {}),
        ("GetParameter", {"Name": "/haproxy"}),
        ("StartSession", {"Target": ids(1)[0]}),
        ("GetDocument", {"Name": "Apply", "VersionName": "second"}),
        ("GetDocument", {"Name": "Apply", "DocumentFormat": "YAML"}),
        ("DescribeDocument", {"Name": "Apply", "DocumentVersion": "1"}),
        (
            "SendCommand",
            {
                "DocumentName": "Apply",
                "Targets": [{"Key": "tag:Type", "Values": ["haproxy"]}],
            },
        ),
        (
            "SendCommand",
            {
                "DocumentName": "Apply",
                "InstanceIds": ids(1),
                "OutputS3BucketName": "bucket",
            },
        ),
        ("ListCommandInvocations", {"Filters": [{"key": "Status", "value": "Failed"}]}),
        (
            "DescribeInstanceInformation",
            {"Filters": [{"Key": "PingStatus", "Values": ["Online"]}]},
        ),
        (
            "DescribeInstanceInformation",
            {"Filters": [{"Key": "tag:Type", "Values": ["haproxy"]}]},
        ),
    ],
)
def test_what_the_application_does_not_call_is_not_played(
    bench: Bench, operation: str, request_: Json
) -> None:
    """An operation, a member or a filter that AWS would take is refused by one error of our own, which names it."""
    call = getattr(bench.ssm, camelcase_to_underscores(operation))
    with pytest.raises(ClientError, match=f"not played: .*{operation}"):
        call(**request_)
    assert bench.service.commands == []


@pytest.mark.parametrize(
    ("content", "feature"),
    [
        (with_input(finallyStep=True), "finallyStep: True of step apply"),
        (
            with_input(onFailure="successAndExit"),
            "onFailure: 'successAndExit' of step apply",
        ),
        (with_input(onSuccess="exit"), "onSuccess: 'exit' of step apply"),
        (with_input(workingDirectory="/tmp"), "workingDirectory"),
        (with_input(environment={"NAME": "value"}), "environment"),
        (with_input(runCommand=["echo {{ ssm:/haproxy }}"]), "Parameter Store"),
        (
            with_step(precondition={"StringEquals": ["platformType", "Windows"]}),
            "precondition",
        ),
        (with_download(sourceType="GitHub"), "sourceType: 'GitHub' of step download"),
        (with_download(sourceInfo='{"path": "https://..."}'), "sourceInfo"),
        (with_download(destinationPath="/etc/haproxy/"), "destinationPath"),
        (with_parameter(type="StringList"), "type StringList of parameter More"),
        (with_parameter(allowedValues=["a"]), "allowedValues of parameter More"),
        (with_parameter(maxChars=5), "maxChars of parameter More"),
        (changed(parameters={"a_b": {"type": "String"}}), "parameter a_b"),
    ],
)
def test_what_the_document_does_not_use_is_not_played(
    bench: Bench, content: Json, feature: str
) -> None:
    """A feature of documents that AWS would take is refused by the same error, whoever makes the document."""
    for change in (
        partial(bench.ssm.create_document, Name="Other", DocumentType="Command"),
        partial(bench.ssm.update_document, Name="Apply", DocumentVersion="$LATEST"),
    ):
        with pytest.raises(ClientError, match=f"not played: {feature}"):
            change(Content=json.dumps(content))


def test_other_kinds_and_formats_of_documents_are_not_played(bench: Bench) -> None:
    """Neither automations nor YAML."""
    create = bench.ssm.create_document
    text = json.dumps(DOCUMENT)
    with pytest.raises(ClientError, match="not played: documents of type Automation"):
        create(Name="Other", Content=text, DocumentType="Automation")
    with pytest.raises(ClientError, match="not played: documents as YAML"):
        create(
            Name="Other", Content=text, DocumentType="Command", DocumentFormat="YAML"
        )


def test_a_value_from_parameter_store_is_not_played(bench: Bench) -> None:
    """Where the pattern lets it through the real agent would look it up."""
    bench.ssm.create_document(
        Name="Loose", Content=json.dumps(with_parameter()), DocumentType="Command"
    )
    values = {"Md5": ["abcd"], "More": ["{{ssm:/haproxy}}"]}
    with pytest.raises(ClientError, match="not played: Parameter Store"):
        bench.send(bench.hosts(1), DocumentName="Loose", Parameters=values)
