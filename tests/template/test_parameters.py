"""Parameters reach the function as docs/architecture.md says, and bad ones are refused before anything is deployed."""

import re
from pathlib import Path
from typing import Any

import pytest

from haproxy_sync.settings import Settings
from tests.template.stack import PSEUDO, Stack, deployed
from tests.template.translate import Template

ARCHITECTURE = Path(__file__).parents[2] / "docs" / "architecture.md"


def environment(stack: Stack) -> dict[str, str]:
    """The function's environment, as Lambda gives it."""
    variables = stack.one("AWS::Lambda::Function")["Environment"]["Variables"]
    return {name: str(value) for name, value in variables.items()} | {"AWS_REGION": PSEUDO["AWS::Region"]}


def documented() -> dict[str, list[str]]:
    """Variables and default values of the table in docs/architecture.md, row by row."""
    section = ARCHITECTURE.read_text().split("## Environment of the function")[1].split("\n## ")[0]
    rows = [line.split("|")[1:3] for line in section.splitlines() if line.startswith("| `")]
    return {names: re.findall("`([^`]*)`", defaults) for names, defaults in rows}


def test_environment_is_as_documented(staging: Stack) -> None:
    """The function gets the variables that the architecture lists, with the defaults it lists."""
    variables = environment(staging)
    listed = {name for names in documented() for name in re.findall("`([A-Z_]+)`", names)}
    assert {name for name in variables if not name.startswith(("POWERTOOLS_", "AWS_"))} == listed
    for names, defaults in documented().items():
        if defaults:
            assert [variables[name] for name in re.findall("`([A-Z_]+)`", names)] == defaults


@pytest.mark.fault("F17")
def test_function_starts_on_defaults(staging: Stack) -> None:
    """The function reads its environment without a complaint, and template and code agree on every default."""
    settings = Settings.from_env(environment(staging))
    bare = Settings(
        environment="staging",
        region=settings.region,
        bucket=settings.bucket,
        queue_url=settings.queue_url,
        document_name=settings.document_name,
    )
    assert settings == bare


GOOD: dict[str, list[str]] = {
    "Environment": ["staging", "eu.prod-2"],
    "EnvironmentTagKey": ["Environment", "team:stage", "cost centre"],
    "TypeTagKey": ["Type", "Role"],
    "BackendTagValue": ["tomcat", "app/v2"],
    "ProxyTagValue": ["haproxy", "lb@edge"],
    "BackendSubnets": ["", "subnet-0a1b2c3d", "subnet-0a1b2c3d4e5f60718,subnet-0a1b2c3d"],
    "ConfigPath": ["/etc/haproxy/haproxy.cfg", "/opt/lb/conf.d/haproxy-1.cfg"],
    "ListenPorts": ["80,443", "8443"],
    "MaxConcurrency": ["10", "25%"],
    "MaxErrors": ["0", "10%"],
    "HoldMinutes": ["5", "0.2"],
    "DriftCheckMinutes": ["30", "0.2"],
    "ReloadMethod": ["syn-drop", "seamless", "runtime", "auto"],
    "ZoneAware": ["true", "false"],
    "Canary": ["true", "false"],
    "StartFrozen": ["true", "false"],
    "EmptyPool": ["hold", "publish"],
    "SweepRate": ["rate(1 minute)", "rate(5 minutes)", "rate(1 hour)"],
}
BAD: dict[str, list[str]] = {
    "Environment": ["", "a/b", "*", "staging ", "-x", "x" * 64],
    "EnvironmentTagKey": ["", 'a"b', "a\\b", " x", "${x}", "*"],
    "TypeTagKey": ["", "a\nb", "?"],
    "BackendTagValue": ["", "tom cat", '"', "*"],
    "ProxyTagValue": ["", "a,b", "${aws:userid}"],
    "BackendSubnets": ["vpc-0a1b2c3d", "subnet-0a1b2c3d, subnet-0a1b2c3e", ","],
    "ConfigPath": ["haproxy.cfg", "/etc/../passwd", "/etc//x", "/etc/haproxy/", "/etc/hap roxy.cfg", "/etc/$x"],
    "ListenPorts": ["", "80, 443", "http", "0", "80;443", ",".join(["80"] * 16)],
    "MaxConcurrency": ["0", "0%", "101%", "-1", "ten"],
    "MaxErrors": ["-1", "101%", "1.5"],
    "ReloadMethod": ["restart"],
    "ZoneAware": ["yes"],
    "Canary": ["True"],
    "StartFrozen": ["yes", ""],
    "EmptyPool": ["empty"],
    "SweepRate": ["rate(1 minutes)", "rate(5 minute)", "rate(0 minutes)", "cron(* * * * ? *)", "1 minute"],
}


def is_taken(template: Template, name: str, value: str) -> bool:
    """Whether CloudFormation takes the value: whole match of the pattern, or one of the allowed."""
    parameter: dict[str, Any] = template["Parameters"][name]
    if "AllowedValues" in parameter:
        return value in map(str, parameter["AllowedValues"])
    if parameter["Type"] == "Number":
        return float(parameter["MinValue"]) <= float(value) <= float(parameter["MaxValue"])
    return re.fullmatch(parameter["AllowedPattern"], value, re.ASCII) is not None


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in GOOD.items() for value in values])
def test_good_value(name: str, value: str, source: Template) -> None:
    """What a stack may be deployed with, the function can start with."""
    assert is_taken(source, name, value)
    Settings.from_env(environment(deployed(source, **{"Environment": "staging", name: value})))


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_bad_value(name: str, value: str, source: Template) -> None:
    """What would break an object key, a policy, a command or a filter is refused before the deploy."""
    assert not is_taken(source, name, value)


def test_every_parameter_is_fenced(source: Template) -> None:
    """Each parameter is described, bounded, and shown in a group of the console."""
    groups = source["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert {name for group in groups for name in group["Parameters"]} == set(source["Parameters"])
    for parameter in source["Parameters"].values():
        assert parameter["Description"]
        assert {"AllowedPattern", "AllowedValues", "MinValue"} & parameter.keys()
        assert "ConstraintDescription" in parameter or "AllowedPattern" not in parameter


def test_outputs(staging: Stack) -> None:
    """The outputs lead to the function, the bucket, the document, the queues, and the policy that proxies need."""
    values = {name: output["Value"] for name, output in staging.outputs.items()}
    assert values["FunctionName"].startswith("haproxy-ec2-sync-staging-ReconcileFunction")
    assert values["BucketName"] == environment(staging)["BUCKET"]
    assert values["DocumentName"] == environment(staging)["DOCUMENT_NAME"]
    assert values["QueueUrl"] == environment(staging)["QUEUE_URL"]
    assert "ProxyPolicy" in values["ProxyPolicyArn"]
