"""The SSM document as deployed: rules that the service does not check. Each yields complaints."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from local.cloud import document_text
from tests.template.stack import PSEUDO, Stack
from tests.template.translate import PROJECT

DOCUMENT = PROJECT / "src/host/document.json"

# What would end a word, start an expansion, or be resolved on the host.
HOSTILE = [
    "'",
    '"',
    "`",
    "$",
    "$(id)",
    ";",
    "&",
    "|",
    "\\",
    " ",
    "\n",
    "{{ssm:/x}}",
    "{{ Md5 }}",
    "*",
    "\u00e9",
]
# RE2 (the agent) and Java (the service) must both compile a pattern: no look-around, back-reference, possessive.
ONLY_ELSEWHERE = re.compile(r"\(\?|\\[1-9ZzAGbB]|[*+?}]\+")
HOUR = 3600
SIZE_LIMIT = (
    64 * 1024
)  # of the text that CloudFormation submits; it includes the parameters of a call


def content(stack: Stack) -> dict[str, Any]:
    """The document's content."""
    return dict(stack.one("AWS::SSM::Document")["Content"])


def content_is_the_file(stack: Stack) -> Iterator[str]:
    """What is deployed is the file that `make document` writes, and that the function compares."""
    if content(stack) != json.loads(DOCUMENT.read_text()):
        yield f"the content is not that of {DOCUMENT.name}"
    if stack.one("AWS::SSM::Document")["DocumentFormat"] != "JSON":
        yield "the content is JSON"


def step(stack: Stack, name: str) -> dict[str, Any]:
    """The step of that name; {} if there is none."""
    return next(
        (each for each in content(stack)["mainSteps"] if each["name"] == name), {}
    )


def script(stack: Stack) -> str:
    """The script as the agent writes it to the host."""
    return "\n".join(step(stack, "apply")["inputs"]["runCommand"]) + "\n"


def updates_in_place(stack: Stack) -> Iterator[str]:
    """A deploy makes a new version under the same name, so that a rollout under way keeps the version it pinned."""
    document = stack.one("AWS::SSM::Document")
    if document.get("UpdateMethod") != "NewVersion" or "VersionName" in document:
        yield "a changed document must become a new version"
    if (document["DocumentType"], document.get("TargetType")) != (
        "Command",
        "/AWS::EC2::Instance",
    ):
        yield "the document must be a Command for EC2 instances"
    if content(stack).get("schemaVersion") != "2.2":
        yield "the schema version must be 2.2"


def parameters_are_hardened(stack: Stack) -> Iterator[str]:
    """Every parameter is a String whose anchored pattern refuses all that a shell or the agent would interpret."""
    for name, parameter in content(stack)["parameters"].items():
        pattern = parameter.get("allowedPattern", "")
        if not re.fullmatch(r"[a-zA-Z0-9]+", name):
            yield f"{name}: the agent drops such a name"
        if parameter["type"] != "String":
            yield f"{name} is no String"
        if not (
            pattern.startswith("^") and pattern.endswith("$")
        ) or ONLY_ELSEWHERE.search(pattern):
            yield f"{name}: the pattern is not anchored, or not for RE2 and Java"
            continue
        default = parameter.get("default", _sample(pattern))
        if not re.search(pattern, default):
            yield f"{name}: the agent refuses its default"
        yield from (f"{name} takes {text!r}" for text in _accepted(pattern, default))


def a_command_names_its_program(stack: Stack) -> Iterator[str]:
    """And its publisher. All other parameters have a default: the service refuses who leaves these out."""
    parameters = content(stack)["parameters"]
    required = [name for name in parameters if "default" not in parameters[name]]
    if required != ["ProgramUrl", "Publisher"]:
        yield f"parameters without a default are {required}"


def _sample(pattern: str) -> str:
    """The address of the one program that the pattern takes, or the id of a stack."""
    named = re.search(r"/program/[^$]+", pattern.replace("\\", ""))
    if named is None:
        return PSEUDO["AWS::StackId"]
    return f"https://bucket.s3.eu-west-1.amazonaws.com{named[0]}"


def _accepted(pattern: str, good: str) -> Iterator[str]:
    """Hostile texts that the pattern takes: alone, before, after and within a good value."""
    # The agent's `$` is Python's `\Z`.
    strict = re.compile(pattern.removesuffix("$") + r"\Z", re.ASCII)
    for text in HOSTILE:
        middle = len(good) // 2
        for value in (
            text,
            text + good,
            good + text,
            good[:middle] + text + good[middle:],
        ):
            if strict.search(value):
                yield value


def nothing_is_pasted(stack: Stack) -> Iterator[str]:
    """Values reach the script as environment variables; only the downloads' URLs become part of the document's text."""
    if "{{" in script(stack):
        yield "the script holds {{: the agent would paste a value into it"
    for name, parameter in content(stack)["parameters"].items():
        is_pasted = parameter.get("interpolationType") != "ENV_VAR"
        if is_pasted and name not in {"SourceUrl", "ProgramUrl"}:
            yield f"{name} is not passed as an environment variable"
    for name in (
        set(re.findall(r"\bSSM_([A-Za-z0-9]+)\b", script(stack)))
        - content(stack)["parameters"].keys()
    ):
        if name.isidentifier() and not name.isupper():
            yield f"the script reads SSM_{name}, which is no parameter"


def script_starts_and_ends(stack: Stack) -> Iterator[str]:
    """The script is one string, first line shebang, line ends LF; document and parameters stay below the limit."""
    commands, text = step(stack, "apply")["inputs"]["runCommand"], script(stack)
    if not isinstance(commands, list) or len(commands) != 1:
        yield "the script is no list of one string: the agent refuses a string, and is slow with many"
    if not text.startswith("#!/bin/sh\n"):
        yield "without a shebang in the first line, whatever sh the agent has runs the script"
    if "\r" in text:
        yield "CRLF: the host answers 127, not found"
    if len(document_text.submitted(content(stack)).encode()) > SIZE_LIMIT - 2048:
        yield "no room for the parameters below 64 KB"


def one_program_runs(stack: Stack) -> Iterator[str]:
    """The address that a command may give and the digest that the launcher compares are those of one program."""
    pattern = (
        content(stack)["parameters"].get("ProgramUrl", {}).get("allowedPattern", "")
    )
    named = re.findall(r"/program/([0-9a-f]{64})/haproxy_apply", pattern)
    compared = re.findall(r"\b[0-9a-f]{64}\b", script(stack))
    if named != compared or len(named) != 1:
        yield f"commands may name {named}, the launcher runs {compared}"


def steps_stop(stack: Stack) -> Iterator[str]:
    """A failed download ends the command; the script runs on Linux only, and not without a deadline."""
    steps = [(each["action"], each["name"]) for each in content(stack)["mainSteps"]]
    if steps != [
        ("aws:downloadContent", "download"),
        ("aws:downloadContent", "download-program"),
        ("aws:runShellScript", "apply"),
    ]:
        yield f"the steps are {steps}"
    for name in ("download", "download-program"):
        yield from _download_stops(name, step(stack, name).get("inputs", {}))
    apply = step(stack, "apply")
    if apply.get("precondition") != {"StringEquals": ["platformType", "Linux"]}:
        yield "the script may run elsewhere than on Linux"
    if not 60 <= int(apply.get("inputs", {}).get("timeoutSeconds", 0)) <= HOUR:
        yield "the script has no sensible deadline"


def _download_stops(name: str, inputs: Mapping[str, Any]) -> Iterator[str]:
    if inputs.get("onFailure") != "exit":
        yield f"after a failed {name} the script would run"
    if inputs.get("destinationPath", "/").startswith("/"):
        yield f"{name}: an absolute destination may hold the file of an earlier run"
