"""A fleet that Ansible has configured is taken over, by docs/migrate-from-ansible.md from its first line to its last.

Each proxy runs a config of its own then: the playbook's of yesterday, edited by hand since. The variables hold secrets.
"""

import itertools
import os
import re
import shlex
import subprocess
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Environment

from local.command_line import COMMAND
from local.deployment import AWS, PROJECT, SAM
from local.lab import Style
from local.lab.waiting import wait_until
from local.system import LocalSystem, Proxy
from tests import readme
from tests.documents import DOCUMENTS

PLAYBOOK = Path(__file__).with_name("playbook")
TEMPLATE = PLAYBOOK / "roles/haproxy/templates/hap-config-ssl-termination.j2"
VARIABLES: dict[str, Any] = yaml.safe_load(
    (PLAYBOOK / "group_vars/haproxy.yml").read_text()
)
YESTERDAYS = "planted-secret-of-yesterday"
SECRETS = {
    *(value for value in VARIABLES.values() if str(value).startswith("planted")),
    b64encode(f"edge:{VARIABLES['app_password']}".encode()).decode(),
    YESTERDAYS,
}
EDITED = "fullconn 47"
SECONDS = 180
STYLES = (Style.SYSV, Style.MASTER_WORKER)
PARAMETERS = {"DriftCheckMinutes": "10"}
"""Drift checks as deployed. Sooner, whoever walks slowly sees hosts being asked anew beside what each command does."""

BLOCKS = "".join(
    re.findall(r"```console\n(.*?)```", DOCUMENTS["migrate-from-ansible.md"], re.DOTALL)
)
# What is typed, at a user's prompt or at root's on a proxy, and what is shown below.
STEPS = re.findall(r"^([$#]) (.+)\n((?:(?![$#] ).*\n)*)", BLOCKS, re.MULTILINE)
SHOWN = {command: shown for _, command, shown in STEPS}
PAINT = re.compile(r"\x1b\[[0-9;]*m")
# The fixture does them: it deploys as it stands there, and its instances are tagged when they are launched.
DONE = {"sam build", "sam deploy --config-env staging"}
LETS_GO = "haproxy-ec2-sync unfreeze --env staging"
WAIT = "haproxy-ec2-sync wait --env staging"
DIFFERS = 2  # exit code of plan and check


@dataclass
class Walk:
    """The document's commands, typed one after the other, and what was on the proxies' disks after each."""

    system: LocalSystem
    home: Path
    found: Mapping[str, Mapping[str, bytes]]
    output: dict[str, str] = field(default_factory=dict)
    codes: dict[str, int] = field(default_factory=dict)
    disks: dict[str, Mapping[str, Mapping[str, bytes]]] = field(default_factory=dict)
    checked: dict[str, Any] = field(default_factory=dict)

    def typed(self, command: str) -> None:
        """Type it in the project's folder, with the playbook in the home directory and nothing of ours set for AWS."""
        line = _filled(command, self.system)
        if command == LETS_GO:  # it asks, at a terminal only
            line = f"script -qec {shlex.quote(line)} /dev/null"
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("AWS_")
        }
        tools = f"{self.home}/bin:{COMMAND.parent}:{SAM.parent}:{AWS.parent}"
        own = {
            "HOME": str(self.home),
            "PATH": f"{tools}:{os.environ['PATH']}:/usr/sbin",
            "AWS_ENDPOINT_URL": self.system.stack.endpoint,
            "AWS_ACCESS_KEY_ID": "owner",
            "AWS_SECRET_ACCESS_KEY": "owner",
            "AWS_DEFAULT_REGION": "ap-southeast-2",
        }
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=PROJECT,
            env=inherited | own,
            input="y\n",
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        self.output[command] = done.stdout + done.stderr
        self.codes[command] = done.returncode
        self.disks[command] = _disks(self.system)

    def typed_as_root(self, command: str) -> None:
        """On each proxy."""
        done = [
            proxy.host.run(["sh", "-c", command], check=False)
            for proxy in self.system.proxies.values()
        ]
        self.output[command] = "".join(each.stdout + each.stderr for each in done)
        self.codes[command] = max(each.returncode for each in done)
        self.disks[command] = _disks(self.system)


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """The whole document; what goes wrong in it, the tests say."""
    home = tmp_path_factory.mktemp("home")
    (home / "playbook").symlink_to(PLAYBOOK)
    _make_crontab(home)
    with LocalSystem(PARAMETERS) as system:
        system.launch_backend()
        for style, zone in zip(STYLES, "ab", strict=True):
            system.launch_proxy(
                style, f"ap-southeast-2{zone}", config=_of_yesterday(system, style)
            )
        system.launch_backend()
        walk = Walk(system, home, _disks(system))
        system.wait_until("agents", lambda: system.online() == set(system.proxies))
        for prompt, command, _ in STEPS:
            if command in DONE:
                continue
            if prompt == "#":
                walk.typed_as_root(command)
                continue
            if command == LETS_GO:
                walk.checked = _check(system)
                # Whoever has read the document so far took minutes.
                system.wait_until("each proxy's own word", partial(_is_heard, system))
            walk.typed(command)
        yield walk


def _is_heard(system: LocalSystem) -> bool:
    """Whether every proxy has said how it is, and so whose."""
    return all(each["inspection"] for each in system.status()["proxies"].values())


def _filled(command: str, system: LocalSystem) -> str:
    values = {
        "<bucket>": system.stack.outputs["BucketName"],
        "<proxies>": " ".join(system.proxies),
        "<backends>": " ".join(system.backends),
    }
    for name, value in values.items():
        command = command.replace(name, value)
    return command


def _make_crontab(home: Path) -> None:
    """A crontab in a file, as the real one would change that of whoever runs the tests."""
    table, program = home / "crontab", home / "bin/crontab"
    table.write_text(
        "0 3 * * * /usr/local/bin/backup\n*/5 * * * * ansible-playbook ec2_haproxy_update.yml\n"
    )
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\n[ "$1" = -l ] && exec cat {table}\ncat >{table}.new && mv {table}.new {table}\n'
    )
    program.chmod(0o755)


def _of_yesterday(system: LocalSystem, style: Style) -> str:
    """The playbook's config for the fleet as it was then, edited by hand on each proxy in another way."""
    engine = Environment(trim_blocks=True, keep_trailing_newline=True)  # noqa: S701 # no HTML
    engine.filters["b64encode"] = lambda text: b64encode(text.encode()).decode()
    text = engine.from_string(TEMPLATE.read_text()).render(
        VARIABLES
        | {
            "ansible_managed": "Ansible managed",
            "ansible_default_ipv4": {"address": "127.0.0.1"},
            "groups": {"backends": [each.name for each in system.backends.values()]},
            "stats_password": YESTERDAYS,
        }
    )
    return text.replace(
        "    balance leastconn\n",
        f"    balance leastconn\n    {EDITED}{STYLES.index(style)}\n",
    )


def _disks(system: LocalSystem) -> dict[str, dict[str, bytes]]:
    """All that lies where HAProxy's and our files lie, and the process that serves, on each proxy."""
    return {key: _disk(proxy) for key, proxy in system.proxies.items()}


def _disk(proxy: Proxy) -> dict[str, bytes]:
    places = ("/etc/haproxy", "/var/lib/haproxy", "/var/lib/haproxy-ec2-sync")
    files = {
        f"{place}/{file.relative_to(proxy.host.path(place))}": file.read_bytes()
        for place in places
        for file in sorted(proxy.host.path(place).rglob("*"))
        if file.is_file() and not file.is_symlink()
    }
    return files | {"worker": str(proxy.host.worker).encode()}


def _check(system: LocalSystem) -> dict[str, Any]:
    """The answer of a check that is done."""
    asked = system.invoke({"action": "check"})
    found: list[dict[str, Any]] = []

    def is_done() -> bool:
        found.append(system.invoke({"action": "check", "id": asked["id"]}))
        return bool(found[-1]["done"])

    system.wait_until("the check", is_done)
    return found[-1]


def test_each_command_does_what_it_should(walk: Walk) -> None:
    """They end well; a plan and a check have changes to show."""
    wrong = {
        command: (code, walk.output[command])
        for command, code in walk.codes.items()
        if code not in _allowed(command)
    }
    assert wrong == {}


def _allowed(command: str) -> set[int]:
    is_look = command.startswith(("haproxy-ec2-sync plan", "haproxy-ec2-sync check"))
    return {DIFFERS} if is_look else {0}


@pytest.mark.parametrize("command", SHOWN)
def test_it_prints_what_the_document_shows(command: str, walk: Walk) -> None:
    """Numbers and ids differ, and what stands for dots."""
    if command in DONE or not SHOWN[command]:
        return
    printed = PAINT.sub("", walk.output[command]).replace("\r", "").strip("\n") + "\n"
    assert readme.pattern(SHOWN[command]).fullmatch(printed), printed


@pytest.mark.fault("F162")
def test_no_byte_changes_before_unfreeze(walk: Walk) -> None:
    """Nor does any process, whatever was looked at, uploaded and checked."""
    before = itertools.takewhile(lambda command: command != LETS_GO, walk.disks)
    assert [each for each in before if walk.disks[each] != walk.found] == []


@pytest.mark.fault("F162")
def test_check_shows_each_proxys_diff(walk: Walk) -> None:
    """Against the file that this very proxy runs, what was done there by hand included."""
    rows = walk.checked["proxies"]
    assert set(rows) == set(walk.system.proxies)
    backends = [backend.name for backend in walk.system.backends.values()]
    for instance_id, row in rows.items():
        style = walk.system.proxies[instance_id].host.style
        assert row["result"] == "differs", row
        assert f"-    {EDITED}{STYLES.index(style)}\n" in row["diff"]
        assert re.search(rf"^\+ +server {backends[1]} ", row["diff"], re.MULTILINE)
        assert "+    stats ***" in row["diff"]


def test_the_fleet_was_taken_over(walk: Walk) -> None:
    """Every proxy ran what the playbook's own template gives now, the edits of yesterday beside it in a backup."""
    waited = walk.disks[WAIT]
    for instance_id, files in waited.items():
        live, *backups = (
            content.decode()
            for name, content in sorted(files.items())
            if "/haproxy.cfg" in name
        )
        assert all(backend.name in live for backend in walk.system.backends.values())
        assert EDITED not in live
        assert [EDITED in each for each in backups] == [True]
        assert files["worker"] != walk.found[instance_id]["worker"]


def test_the_way_back(walk: Walk) -> None:
    """In the end each proxy has the file that it had in the beginning, and runs it."""
    *_, last = walk.disks.values()
    live = "/etc/haproxy/haproxy.cfg"
    newcomer = list(walk.system.backends.values())[1].name
    for instance_id, proxy in walk.system.proxies.items():
        assert last[instance_id][live] == walk.found[instance_id][live]
        wait_until(
            partial(_lacks, proxy, newcomer),
            what=f"{proxy.host.name}: a worker that runs yesterday's config",
        )


def _lacks(proxy: Proxy, server: str) -> bool:
    """Whether the worker has no such server."""
    return server not in proxy.host.ask("show stat")


def test_the_cron_is_off(walk: Walk) -> None:
    """And the other jobs are not."""
    assert (walk.home / "crontab").read_text() == "0 3 * * * /usr/local/bin/backup\n"


@pytest.mark.fault("F172")
def test_no_secret_is_anywhere_else(walk: Walk) -> None:
    """Not in what was printed, logged, answered or kept: in configs, what was uploaded, and on the hosts alone."""
    system = walk.system
    places = {
        **walk.output,
        **_objects(system),
        **_logs(system),
        **_run_command(system),
        "answers": str(
            [system.status(), system.invoke({"action": "plan"}), walk.checked]
        ),
    }
    found = {
        place: secret
        for place, text in places.items()
        for secret in SECRETS
        if secret in text
    }
    assert found == {}


def _objects(system: LocalSystem) -> dict[str, str]:
    """What lies in the bucket but the configs and the uploads, every version of it."""
    s3, bucket = system.stack.client("s3"), system.stack.outputs["BucketName"]
    versions = s3.list_object_versions(Bucket=bucket)["Versions"]
    return {
        f"{each['Key']} {each['VersionId']}": s3.get_object(
            Bucket=bucket, Key=each["Key"], VersionId=each["VersionId"]
        )["Body"]
        .read()
        .decode("latin-1")
        for each in versions
        if not each["Key"].endswith("/haproxy.cfg")
        and not each["Key"].startswith(("templates/", "vars/"))
    }


def _logs(system: LocalSystem) -> dict[str, str]:
    return {
        str(file): file.read_text(errors="replace")
        for file in system.folder.rglob("*.log")
    }


def _run_command(system: LocalSystem) -> dict[str, str]:
    """What Run Command keeps of each command's output."""
    ssm = system.stack.client("ssm")
    listed = ssm.list_command_invocations(Details=True)["CommandInvocations"]
    return {
        f"{each['CommandId']} {each['InstanceId']}": str(
            [
                each,
                ssm.get_command_invocation(
                    CommandId=each["CommandId"],
                    InstanceId=each["InstanceId"],
                    PluginName="apply",
                ),
            ]
        )
        for each in listed
    }
