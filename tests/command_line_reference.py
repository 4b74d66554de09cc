"""docs/command-line.md, as far as it is made from the code: `python -m tests.command_line_reference` rewrites it.

Commands, options and variables are click's. The policy has the actions behind the calls to AWS in the sources: methods
and paginators that are called like an operation of a service of which there is a client (`client("s3")`), and what
doctor asks by name.
"""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from textwrap import wrap
from typing import Any

import click
from botocore import xform_name
from botocore.session import get_session

from haproxy_ec2_sync.app import app
from haproxy_ec2_sync.desk import NAME, OPTIONS
from haproxy_ec2_sync.doctor.account import action_of

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs/command-line.md"
SOURCES = ROOT / "cli/haproxy_ec2_sync"
WIDTH = 120
SENTENCE_END = re.compile(r"(?<=[.?!]) (?=[A-Z`])")

ASKS = frozenset({"ask", "pages", "_asked"})
"""Methods of doctor that take service and operation by name."""

EVERYBODY = "Operate"
STACK = (
    "DoctorStack",
    [
        "arn:aws:cloudformation:*:*:stack/haproxy-ec2-sync-*",
        "arn:aws:events:*:*:rule/haproxy-ec2-sync-*",
        "arn:aws:iam::*:role/haproxy-ec2-sync-*",
        "arn:aws:lambda:*:*:function:haproxy-ec2-sync-*",
        "arn:aws:sqs:*:*:haproxy-ec2-sync-*",
        "arn:aws:ssm:*:*:document/haproxy-ec2-sync-*",
    ],
)
# What is not in the table is doctor's: IAM knows no resource of it, or one whose name begins otherwise.
STATEMENTS: Mapping[str, tuple[str, list[str]]] = {
    "lambda:InvokeFunction": (
        EVERYBODY,
        ["arn:aws:lambda:*:*:function:haproxy-ec2-sync-*"],
    ),
    "cloudformation:DescribeStacks": (
        "FindStack",
        ["arn:aws:cloudformation:*:*:stack/haproxy-ec2-sync-*"],
    ),
    "cloudformation:ListStackResources": STACK,
    "events:DescribeRule": STACK,
    "events:ListTargetsByRule": STACK,
    "iam:ListRolePolicies": STACK,
    "lambda:GetFunctionConcurrency": STACK,
    "lambda:GetFunctionConfiguration": STACK,
    "sqs:GetQueueAttributes": STACK,
    "ssm:DescribeDocument": STACK,
    "s3:GetObject": ("DoctorState", ["arn:aws:s3:::haproxy-ec2-sync-*/state/*"]),
}
BY_SERVICE: Mapping[str, tuple[str, list[str]]] = {
    "logs": ("Logs", ["arn:aws:logs:*:*:log-group:haproxy-ec2-sync-*"]),
    "s3": ("DoctorBucket", ["arn:aws:s3:::haproxy-ec2-sync-*"]),
}
DOCTOR = ("Doctor", ["*"])


@cache
def actions() -> frozenset[str]:
    """IAM's action of each call to AWS that the sources make."""
    return frozenset(
        action_of(*call) for path in SOURCES.rglob("*.py") for call in calls(path)
    )


def calls(path: Path) -> Iterator[tuple[str, str]]:
    """Service and operation, by boto3's names, of each call in a file."""
    for node in _calls_of_methods(path):
        method, texts = node.func.attr, _texts(node)
        if method in ASKS and len(texts) > 1:
            yield texts[0], texts[1]
        elif method == "get_paginator" and texts:
            yield from _of_services(texts[0])
        else:
            yield from _of_services(method)


def _of_services(operation: str) -> Iterator[tuple[str, str]]:
    """With the services that have it, among those that the sources make clients of."""
    return (
        (service, operation)
        for service in services()
        if operation in _operations(service)
    )


@cache
def services() -> frozenset[str]:
    """What the sources make clients of: `client("s3")`, `self.client("s3")`."""
    return frozenset(
        str(node.args[0].value)
        for path in SOURCES.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).rpartition(".")[2] == "client"
        and node.args
        and isinstance(node.args[0], ast.Constant)
    )


@cache
def _operations(service: str) -> frozenset[str]:
    """The names of its client's methods that ask AWS."""
    model = get_session().get_service_model(service)
    return frozenset(map(xform_name, model.operation_names))


def _calls_of_methods(path: Path) -> Iterator[Any]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node


def _texts(node: ast.Call) -> list[str]:
    """The arguments that stand there as texts."""
    return [
        each.value
        for each in node.args
        if isinstance(each, ast.Constant) and isinstance(each.value, str)
    ]


def policy() -> dict[str, Any]:
    """What an operator has to be allowed, by IAM."""
    statements: dict[str, dict[str, Any]] = {}
    for action in sorted(actions()):
        service = action.partition(":")[0]
        sid, resources = STATEMENTS.get(action) or BY_SERVICE.get(service) or DOCTOR
        statement = statements.setdefault(
            sid,
            {"Sid": sid, "Effect": "Allow", "Action": [], "Resource": resources},
        )
        statement["Action"].append(action)
    return {"Version": "2012-10-17", "Statement": list(statements.values())}


def commands() -> str:
    """A section for each command: what it does, how it is typed, its own options."""
    common = frozenset(str(param.name) for param in _common().params)
    sections = [
        _section(name, command, common)
        for name, command in sorted(app.commands.items())
    ]
    return "\n".join(sections)


def _common() -> click.Command:
    def nothing() -> None:
        """Nothing."""

    for option in reversed(OPTIONS):
        nothing = option(nothing)
    return click.command("any")(nothing)


def _section(name: str, command: click.Command, common: frozenset[str]) -> str:
    context = click.Context(command, info_name=f"{NAME} {name}")
    own = [
        param
        for param in command.params
        if param.name not in common and isinstance(param, click.Option)
    ]
    arguments = " ".join(
        param.make_metavar(context)
        for param in command.params
        if isinstance(param, click.Argument)
    )
    typed = " ".join(filter(None, [NAME, name, "[OPTIONS]", arguments]))
    parts = [
        f"### {name}\n",
        *_paragraphs(command.help or ""),
        f"```\n{typed}\n```\n",
        *_options(own),
        *_examples(command.epilog or ""),
    ]
    return "\n".join(parts)


def _paragraphs(text: str) -> Iterator[str]:
    """Each sentence on a line of its own."""
    for paragraph in re.split(r"\n\s*\n", text.replace("\b", "").strip()):
        sentences = SENTENCE_END.split(" ".join(paragraph.split()))
        yield "\n".join(line for each in sentences for line in wrap(each, WIDTH)) + "\n"


def _options(params: list[click.Option]) -> Iterator[str]:
    if params:
        yield "\n".join(map(_option, params)) + "\n"


def _option(param: click.Option) -> str:
    context = click.Context(click.Command("any"))
    names, help_ = param.get_help_record(context) or ("", "")
    sentences = SENTENCE_END.split(" ".join(help_.split()))
    lines = [f"`{names}`: {sentences[0]}", *sentences[1:]]
    wrapped = [line for each in lines for line in wrap(each, WIDTH - 2)]
    return "- " + "\n  ".join(wrapped)


def _examples(epilog: str) -> Iterator[str]:
    typed = [
        line.strip() for line in epilog.splitlines() if line.strip().startswith(NAME)
    ]
    if typed:
        yield "```console\n" + "\n".join(f"$ {line}" for line in typed) + "\n```\n"


def rewritten(text: str) -> str:
    """The document with its generated parts as the code says."""
    parts = {
        "commands": commands(),
        "options": "\n".join(_options([
            each for each in _common().params if isinstance(each, click.Option)
        ])),
        "policy": f"```json\n{json.dumps(policy(), indent=2)}\n```\n",
    }  # fmt: skip
    for name, content in parts.items():
        begin, end = f"<!-- {name}: generated -->\n", f"<!-- end of {name} -->\n"
        before, rest = text.split(begin)
        text = f"{before}{begin}\n{content}\n{end}{rest.split(end)[1]}"
    return text


if __name__ == "__main__":
    DOCUMENT.write_text(rewritten(DOCUMENT.read_text()))
