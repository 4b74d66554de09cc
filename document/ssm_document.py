"""Makes `src/host/document.json`, the SSM Command document: `make document`.

The agent joins the strings of `runCommand` by newlines and adds one, so the launcher reaches the host byte for byte.
It is a list of one string: a bare string fails the step, and each string costs the agent a search for every parameter.
Facts: agent sources `runscript.go`, `downloadcontent.go`, `docparser.go`.
"""

import json
from pathlib import Path
from typing import Any

from haproxy_sync import aws, settings
from haproxy_sync.rollout.program import Program

HERE = Path(__file__).parent
LAUNCHER = HERE / "launcher.sh"
# The function compares it with what is deployed, so it is part of the package; what makes it is not.
DOCUMENT = HERE.parent / "src" / "host" / "document.json"

# Above all that the program itself may take, which a test adds up.
TIMEOUT_SECONDS = 180

# Of every partition that the SDK knows, so that the document is the same wherever it is deployed.
URL_SUFFIX = "|".join(aws.url_suffixes()).replace(".", r"\.")
BUCKET_URL = rf"^https://[a-z0-9][a-z0-9.-]{{1,61}}[a-z0-9]\.s3\.[a-z0-9-]{{1,32}}\.({URL_SUFFIX})"
SOURCE_URL = rf"{BUCKET_URL}/configs/[A-Za-z0-9._-]{{1,64}}/(check/)?[0-9a-f]{{64}}/haproxy\.cfg$"
PORT = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
# An agent's RE2 takes no more than a thousand repetitions, of nested ones the product.
LINES = "[1-9][0-9]{0,5}(-[1-9][0-9]{0,5})?"
OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
ADDRESS = rf"({OCTET}(\.{OCTET}){{3}}|\[[0-9a-f:]+\]):{PORT}"
KEYWORDS = f"{settings.KEYWORD}(,{settings.KEYWORD}){{0,39}}"
STACK_ID = f"^{settings.STACK_ID.pattern}$"
PLACEHOLDER = "PROGRAM_SHA256"


def parameter(description: str, pattern: str, default: str) -> dict[str, str]:
    """A parameter that reaches the launcher as `$SSM_<name>`, never as shell text (agent 3.3.2746.0 or later)."""
    return {
        "type": "String",
        "description": description,
        "allowedPattern": pattern,
        "default": default,
        "interpolationType": "ENV_VAR",
    }


def parameters(program: str) -> dict[str, dict[str, str]]:
    """Every default matches its pattern, since the agent checks defaults too; no default is a config that exists.

    Program and publisher have no default: the service refuses who does not name them.
    """
    source = parameter("HTTPS address of the config in S3", SOURCE_URL, _default_url())
    del source["interpolationType"]
    publisher = parameter("Id of the stack that sends the command", STACK_ID, "")
    del publisher["default"]
    return {
        "SourceUrl": source,
        "ProgramUrl": {
            "type": "String",
            "description": "HTTPS address of the program in S3",
            "allowedPattern": rf"{BUCKET_URL}/program/{program}/haproxy_apply\.zip$",
        },
        "Md5": parameter("MD5 of the config", "^[0-9a-f]{32}$", "0" * 32),
        "Sha256": parameter("SHA-256 of the config", "^[0-9a-f]{64}$", "0" * 64),
        "Generation": parameter(
            "Generation of the config; a host never goes back", "^[0-9]{1,15}$", "0"
        ),
        "ConfigPath": parameter(
            "The live file",
            r"^(/[A-Za-z0-9_-][A-Za-z0-9._-]*){1,16}$",
            "/etc/haproxy/haproxy.cfg",
        ),
        "ReloadMethod": parameter(
            "How HAProxy takes the new file",
            "^(syn-drop|seamless|runtime|auto)$",
            "syn-drop",
        ),
        "ListenPorts": parameter(
            "Ports of the SYN drop", f"^{PORT}(,{PORT}){{0,14}}$", "80,443"
        ),
        "Publisher": publisher,
        "Adopt": parameter(
            "Whether to take the host from another stack", "^(true|false)$", "false"
        ),
        "Action": parameter(
            "Whether to install the config, only to report, or only to compare",
            "^(apply|inspect|check)$",
            "apply",
        ),
        "SecretLines": parameter(
            "Lines of the config that hold a secret; 0: none",
            f"^(0|{LINES}(,{LINES}){{0,199}})$",
            "0",
        ),
        "AllowUnsafeKeywords": parameter(
            "Keywords of HAProxy's that else would be refused; 0: none",
            f"^(0|{KEYWORDS})$",
            "0",
        ),
        "Watch": parameter(
            "Addresses and ports of servers that the host is asked about; 0: none",
            f"^(0|{ADDRESS}(,{ADDRESS}){{0,99}})$",
            "0",
        ),
    }


def _default_url() -> str:
    """Of a bucket that nobody can have."""
    # "Bucket names must not contain two adjacent periods": Amazon S3 User Guide, General purpose bucket naming rules.
    # Nor has the name of a host an empty label: RFC 1034, 3.1.
    bucket = "none..none"
    return f"https://{bucket}.s3.us-east-1.amazonaws.com/configs/none/{'0' * 64}/haproxy.cfg"


def download(name: str, address: str, file: str) -> dict[str, Any]:
    """A step that fetches a file to where the launcher starts; a failure ends the document."""
    return {
        "action": "aws:downloadContent",
        "name": name,
        "inputs": {
            "sourceType": "S3",
            "sourceInfo": {"path": f"{{{{ {address} }}}}"},
            "destinationPath": file,
            "onFailure": "exit",
        },
    }


def launcher(program: str) -> str:
    """The script that compares the program's SHA-256 and runs it."""
    script = LAUNCHER.read_text()
    if (
        not script.startswith("#!/bin/sh\n")
        or not script.endswith("\n")
        or "\r" in script
        or "{{" in script
    ):
        raise ValueError(
            "the launcher must begin with #!/bin/sh, have LF line ends, end in one, and hold no {{"
        )
    return script.removesuffix("\n").replace(PLACEHOLDER, program)


def document(program: str) -> dict[str, Any]:
    """The document that runs the program with this SHA-256, and no other.

    Stops after a failed download; runs on Linux only.
    """
    return {
        "schemaVersion": "2.2",
        "description": "Installs and activates a HAProxy configuration, or leaves the host as it was.",
        "parameters": parameters(program),
        "mainSteps": [
            download("download", "SourceUrl", "haproxy.cfg"),
            download("download-program", "ProgramUrl", "haproxy_apply.zip"),
            {
                "action": "aws:runShellScript",
                "name": "apply",
                "precondition": {"StringEquals": ["platformType", "Linux"]},
                "inputs": {
                    "timeoutSeconds": str(TIMEOUT_SECONDS),
                    "runCommand": [launcher(program)],
                },
            },
        ],
    }


def text() -> str:
    """`document.json` as it must be committed."""
    return json.dumps(document(Program.packed().sha256), indent=0) + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(text())
