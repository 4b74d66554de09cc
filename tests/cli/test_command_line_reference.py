"""docs/command-line.md says what the code does."""

import re

import pytest

from haproxy_ec2_sync import desk
from haproxy_ec2_sync.app import app
from local.cloud.policies import Request, allows
from tests import command_line_reference as reference
from tests.cli.conftest import Shell

TEXT = reference.DOCUMENT.read_text()
ACCOUNT = "123456789012"
STACK = "haproxy-ec2-sync-staging"


def test_the_document_is_up_to_date() -> None:
    """Else: `python -m tests.command_line_reference`."""
    assert reference.rewritten(TEXT) == TEXT


def test_each_command_and_option_is_in_it() -> None:
    """As they are typed."""
    for name, command in app.commands.items():
        assert f"### {name}\n" in TEXT
        for param in command.params:
            if param.param_type_name == "option":
                assert all(f"{option}" in TEXT for option in param.opts)


def test_each_service_that_the_sources_name_is_seen_to_be_asked() -> None:
    """A client that is called in a way that the generator does not see would be missing in the policy."""
    seen = {
        service
        for path in reference.SOURCES.rglob("*.py")
        for service, _ in reference.calls(path)
    }
    assert reference.services() <= seen


@pytest.mark.parametrize(
    ("action", "resource", "is_allowed"),
    [
        (
            "lambda:InvokeFunction",
            f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:{STACK}-ReconcileFunction-A1b2",
            True,
        ),
        (
            "lambda:InvokeFunction",
            f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:somebody-else",
            False,
        ),
        (
            "cloudformation:DescribeStacks",
            f"arn:aws:cloudformation:eu-west-1:{ACCOUNT}:stack/{STACK}/0a1b2c3d",
            True,
        ),
        (
            "s3:GetObject",
            f"arn:aws:s3:::{STACK}-configbucket-a1b2/state/staging.json",
            True,
        ),
        (
            "s3:GetObject",
            f"arn:aws:s3:::{STACK}-configbucket-a1b2/vars/staging.yml",
            False,
        ),
        ("ssm:SendCommand", "*", False),
        # Its variables may be secrets of others.
        (
            "lambda:GetFunctionConfiguration",
            f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:somebody-else",
            False,
        ),
        (
            "sqs:GetQueueAttributes",
            f"arn:aws:sqs:eu-west-1:{ACCOUNT}:{STACK}-EventQueue-A1b2",
            True,
        ),
        (
            "logs:FilterLogEvents",
            f"arn:aws:logs:eu-west-1:{ACCOUNT}:log-group:{STACK}-ReconcileLog-A1:log-stream:",
            True,
        ),
    ],
)
def test_the_policy_allows_what_is_needed(
    action: str, resource: str, *, is_allowed: bool
) -> None:
    """For a stack of samconfig.toml's names; and nothing that changes something."""
    assert allows([reference.policy()], Request(action, resource)) is is_allowed


@pytest.mark.parametrize(
    "service", ["lambda", "sqs", "events", "ssm", "cloudformation"]
)
def test_the_policy_names_what_it_can_name(service: str) -> None:
    """`*` where IAM knows no resource of the action, or one of another name than the stack's."""
    unnamed = [
        action
        for statement in reference.policy()["Statement"]
        for action in statement["Action"]
        if statement["Resource"] == ["*"] and action.startswith(f"{service}:")
    ]
    assert set(unnamed) <= {
        "lambda:ListEventSourceMappings",
        "ssm:DescribeInstanceInformation",
    }


def test_the_policy_reads_only() -> None:
    """But for the function, which an operator asks."""
    reads = re.compile(r"\w+:(Describe|Get|List|Simulate|Filter|StartLiveTail)\w*")
    others = [each for each in reference.actions() if not reads.fullmatch(each)]
    assert others == ["lambda:InvokeFunction"]


def test_variables_are_named_as_the_options_are() -> None:
    """HAPROXY_EC2_SYNC_ and the option's name."""
    named = re.findall(rf"{desk.VARIABLES}\w+", TEXT)
    assert set(named) >= {
        f"{desk.VARIABLES}{name}"
        for name in ("ENV", "CONFIG_FILE", "STACK_NAME", "REGION", "PROFILE")
    }


@pytest.mark.parametrize("kind", ["bash", "zsh", "fish"])
def test_completion_is_there(
    kind: str, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the document says it, without a stack and without AWS."""
    assert f"{kind}_source" in TEXT
    monkeypatch.setenv("_HAPROXY_EC2_SYNC_COMPLETE", f"{kind}_source")
    with pytest.raises(SystemExit) as ended:
        shell()
    assert ended.value.code == 0
    assert "haproxy-ec2-sync" in shell.capture.readouterr().out
    assert shell.targets == []
