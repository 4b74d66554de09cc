"""The fleet that both sides render for, and how each side gets it."""

import json
import subprocess
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from haproxy_sync.config.ansible.engine import Engine
from haproxy_sync.config.facts import HostIndex, TagValue, facts
from haproxy_sync.config.marked import Marks, Reading
from haproxy_sync.config.scope import Scope, World
from haproxy_sync.config.variables import parse_variables
from haproxy_sync.errors import SyncError
from haproxy_sync.fleet.model import Backend, Fleet, Host, Proxy
from haproxy_sync.settings import Settings

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-ansible" / "bin" / "python"
REGION = "ap-southeast-2"


def _host(number: int) -> dict[str, Any]:
    label = f"ip-10-0-{number}-10"
    return {
        "instance_id": f"i-{number:017x}",
        "name": label,
        "address": f"10.0.{number}.10",
        "zone": f"{REGION}{'abc'[number % 3]}",
        "private_dns_name": f"{label}.{REGION}.compute.internal",
        "tags": {"Name": f"node {number}", "Role": "web" if number % 2 else "api"},
    }


FLEET = Fleet(
    backends=tuple(Backend(type="tomcat", **_host(number)) for number in (1, 2, 3)),
    proxies=tuple(Proxy(type="haproxy", **_host(number)) for number in (8, 9)),
)
PROXY = FLEET.proxies[0]
SETTINGS = Settings("staging", REGION, "bucket", "https://queue", "document", "stack")


@dataclass(frozen=True, slots=True)
class Case:
    """A template, the files it includes, its variables."""

    name: str
    main: str
    files: Mapping[str, str]
    variables: str = ""


@cache
def _parsed(text: str) -> Mapping[str, Any]:
    """The variables; most cases have the same."""
    return parse_variables(text, "vars")


def ours(case: Case) -> str | None:
    """What the project renders; None for an error."""
    try:
        variables = deepcopy(_parsed(case.variables))  # a template may change them
        engine = Engine(case.main, case.files)
        reading = Reading(Marks())
        world = World(engine, HostIndex(FLEET), variables, SETTINGS, reading)
        return engine.render(Scope(world, PROXY))
    except SyncError:
        return None


def ansible(cases: list[Case]) -> dict[str, str | None]:
    """What ansible-core renders, all cases in one process; None for an error."""
    files = {
        case.name: {"main": case.main, "files": case.files, "variables": case.variables}
        for case in cases
    }
    request = {"hosts": inventory(), "host": PROXY.address, "cases": files}
    script = [PYTHON, ROOT / "tests" / "oracle" / "ansible_oracle.py"]
    run = subprocess.run(
        script,
        input=json.dumps(request),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    return {name: answer.get("text") for name, answer in json.loads(run.stdout).items()}


def inventory() -> dict[str, Any]:
    """The fleet as the playbook's `add_host` tasks would build it, in the words of `ansible_oracle.py`."""
    return {
        name: _inventory_entry(host) for name, host in HostIndex(FLEET).hosts.items()
    }


def _inventory_entry(host: Host) -> dict[str, Any]:
    recorded = {
        name: value.value if isinstance(value, TagValue) else value
        for name, value in facts(host).items()
    }
    return {
        "groups": recorded["group_names"],
        "vars": {"server_name": host.private_dns_name}
        | {
            name: value
            for name, value in recorded.items()
            if name.startswith("ec2_") or name == "ansible_host"
        },
        "facts": {
            name: value
            for name, value in recorded.items()
            if name.startswith("ansible_") and name != "ansible_host"
        },
    }
