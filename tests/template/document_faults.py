"""Faults of the document that proxies run, and of how it gets into the stack."""

import json
import re
from collections.abc import Callable

from tests.template.document_checks import DOCUMENT as FILE
from tests.template.document_checks import SIZE_LIMIT
from tests.template.planting import Fault, Plant, add, drop, put
from tests.template.translate import Template, include

CONTENT = "ApplyDocument.Content"
STEPS = f"{CONTENT}.mainSteps"
SCRIPT = f"{STEPS}.apply.inputs.runCommand"
HARDENED, STARTS = "parameters_are_hardened", "script_starts_and_ends"


def within(plant: Plant) -> Plant:
    """In the document's text, which the source only includes."""

    def planted(template: Template) -> None:
        template["Resources"] = include(template["Resources"])
        plant(template)

    return planted


def script(change: Callable[[str], list[str] | str]) -> Plant:
    """Another script."""
    (text,) = json.loads(FILE.read_text())["mainSteps"][-1]["inputs"]["runCommand"]
    return within(put(SCRIPT, change(text)))


def parameter(name: str, key: str, value: str) -> Plant:
    """Something else that a parameter says."""
    return within(put(f"{CONTENT}.parameters.{name}.{key}", value))


def room() -> int:
    """How many characters the script may have more, if the document were submitted without a blank too many."""
    return SIZE_LIMIT - 2048 - len(json.dumps(json.loads(FILE.read_text())))


DOCUMENT = {
    "a document from another file": Fault(
        put(f"{CONTENT}.Fn::Transform.Parameters.Location", "events/sync.json"),
        "document_is_the_file",
    ),
    "a document that is written out": Fault(
        within(put(f"{CONTENT}.description", "another")), "document_is_the_file"
    ),
    "a document that is not the file": Fault(
        within(put(f"{CONTENT}.description", "another")), "content_is_the_file"
    ),
    "a document replaced on change": Fault(
        drop("ApplyDocument.UpdateMethod"), "updates_in_place", "new version"
    ),
    "a document with a name": Fault(
        put("ApplyDocument.Name", "apply"), "properties_are_listed", "Name"
    ),
    "a document with files of others": Fault(
        put("ApplyDocument.Attachments", [{"Key": "SourceUrl", "Values": ["s3://x"]}]),
        "properties_are_listed",
        "Attachments",
    ),
    "a document for other machines": Fault(
        put("ApplyDocument.TargetType", "/"), "updates_in_place", "EC2 instances"
    ),
    "a document that is an automation": Fault(
        put("ApplyDocument.DocumentType", "Automation"), "updates_in_place", "Command"
    ),
    "a document in YAML": Fault(
        put("ApplyDocument.DocumentFormat", "YAML"), "content_is_the_file", "JSON"
    ),
    "a wrong schema version": Fault(
        within(put(f"{CONTENT}.schemaVersion", "2.0")), "updates_in_place", "2.2"
    ),
    "a pattern that is not anchored": Fault(
        parameter("Md5", "allowedPattern", "[0-9a-f]{32}"), HARDENED, "Md5"
    ),
    "a pattern that takes a quote": Fault(
        parameter("ConfigPath", "allowedPattern", "^/.*$"), HARDENED, "ConfigPath takes"
    ),
    "a pattern that RE2 refuses": Fault(
        parameter("Md5", "allowedPattern", "^(?=[0-9a-f]{32})[0-9a-f]{32}$"),
        HARDENED,
        "RE2",
    ),
    "a value pasted into the shell": Fault(
        script(lambda text: [f"{text}\necho {{{{ Md5 }}}}"]), "nothing_is_pasted", "{{"
    ),
    "a value that is no environment variable": Fault(
        within(drop(f"{CONTENT}.parameters.Md5.interpolationType")),
        "nothing_is_pasted",
        "Md5",
    ),
    "CRLF in the script": Fault(
        script(lambda text: [text.replace("\n", "\r\n")]), STARTS, "CRLF"
    ),
    "a script as a bare string": Fault(script(str), STARTS, "no list of one string"),
    "a script in lines": Fault(
        script(lambda text: text.split("\n")), STARTS, "no list of one string"
    ),
    "a document that only fits without its indentation": Fault(
        script(lambda text: [text + "#" * room()]), STARTS, "no room"
    ),
    "a comment before the shebang": Fault(
        script(lambda text: [f"# apply\n{text}"]), STARTS, "shebang"
    ),
    "a script after a failed download": Fault(
        within(drop(f"{STEPS}.download.inputs.onFailure")),
        "steps_stop",
        "after a failed download ",
    ),
    "a script after a failed download of the program": Fault(
        within(drop(f"{STEPS}.download-program.inputs.onFailure")),
        "steps_stop",
        "after a failed download-program",
    ),
    "a download to a path of its own": Fault(
        within(put(f"{STEPS}.download.inputs.destinationPath", "/etc/haproxy")),
        "steps_stop",
        "absolute",
    ),
    "a script without a deadline": Fault(
        within(drop(f"{STEPS}.apply.inputs.timeoutSeconds")), "steps_stop", "deadline"
    ),
    "a script on Windows": Fault(
        within(drop(f"{STEPS}.apply.precondition")), "steps_stop", "Linux"
    ),
    "a step more": Fault(
        within(add(STEPS, {"action": "aws:runShellScript", "name": "more"})),
        "steps_stop",
        "the steps are",
    ),
    "any program": Fault(
        parameter(
            "ProgramUrl",
            "allowedPattern",
            r"^https://bucket/program/[0-9a-f]{64}/haproxy_apply\.zip$",
        ),
        "one_program_runs",
    ),
    "another program than the launcher compares": Fault(
        script(lambda text: [re.sub("[0-9a-f]{64}", "a" * 64, text)]),
        "one_program_runs",
    ),
    "a program by default": Fault(
        parameter("ProgramUrl", "default", "x"), "a_command_names_its_program"
    ),
    "a publisher by default": Fault(
        parameter("Publisher", "default", "x"), "a_command_names_its_program"
    ),
}
