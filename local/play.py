"""What is typed against the system that `make demo KEEP=1` left running: invoke, launch, terminate, retag."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
)

from local import stack
from local.deployment import settings
from local.system import INSTANCE_PROFILE, TYPES, newest, run_instance

MACHINE_SECONDS = 90
"""How long a machine may take to come or go."""
ZONE = "ap-southeast-2a"
NOTHING_RUNS = (
    "nothing runs here: start it with `make demo KEEP=1`, in another terminal"
)
CURL = {"tomcat": "curl", "haproxy": "curl -k"}


class Refused(Exception):
    """Nothing was done; the message says in one line what to do."""


def invoke(event: str) -> str:
    """What the function answers to the event in a file. Raises Refused."""
    if not event:
        raise Refused(
            "which event? make invoke EVENT=events/status.json, or another of events/"
        )
    sent = _event(Path(event))
    current = _current()
    try:
        answer = stack.invoke(current["endpoint"], current["function"], sent)
    except stack.InvokeFailed as error:
        raise Refused(f"{event}: {error}") from error
    return json.dumps(answer, indent=2)


def _event(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise Refused(
            f"{path}: {error.strerror}; EVENT=events/status.json is one that there is"
        ) from error
    except UnicodeDecodeError as error:
        raise Refused(f"{path}: is no text; an event is a JSON object") from error
    except json.JSONDecodeError as error:
        raise Refused(
            f"{path}:{error.lineno}: is no JSON ({error.msg}); compare events/status.json"
        ) from error


def launch(type_: str) -> str:
    """Launch an instance of this `Type`, and wait for its machine. Raises Refused."""
    if type_ not in TYPES:
        raise Refused(f"TYPE is {' or '.join(TYPES)}, not {type_!r}")
    ec2 = _ec2()
    profile = {"IamInstanceProfile": {"Name": INSTANCE_PROFILE}}
    tags = {"Environment": settings()["Environment"], "Type": type_}
    options = profile if type_ == "haproxy" else {}
    launched = run_instance(ec2, tags, ZONE, **options)
    instance_id = launched["InstanceId"]
    url = _awaited(lambda urls: urls.get(instance_id), f"a machine for {instance_id}")
    configured = ", once it is configured" if type_ == "haproxy" else ""
    return f"{_told(launched)} runs: {CURL[type_]} {url}{configured}"


def terminate(instance: str) -> str:
    """Terminate an instance by id or name, and wait until its machine is gone. Raises Refused."""
    ec2 = _ec2()
    chosen = _chosen(ec2, instance, "make terminate INSTANCE=i-...")
    instance_id = chosen["InstanceId"]
    ec2.terminate_instances(InstanceIds=[instance_id])
    _awaited(lambda urls: instance_id not in urls, f"the end of {instance_id}")
    return f"{_told(chosen)} is gone"


def retag(instance: str, tag: str) -> str:
    """Give an instance, by id or name, a tag `key=value`. Raises Refused."""
    key, separator, value = tag.partition("=")
    if not (key and separator):
        raise Refused(f"TAG is key=value, as in TAG=haproxy:weight=10, not {tag!r}")
    ec2 = _ec2()
    chosen = _chosen(ec2, instance, "make retag INSTANCE=i-... TAG=key=value")
    ec2.create_tags(
        Resources=[chosen["InstanceId"]], Tags=[{"Key": key, "Value": value}]
    )
    return f"{_told(chosen)} has the tag {key}={value}"


def _current() -> Mapping[str, Any]:
    current = newest()
    if not current:
        raise Refused(NOTHING_RUNS)
    return current


def _ec2() -> Any:
    """A client of the system that is kept."""
    current = _current()
    if current["urls"] is None:
        raise Refused("the demo is still at it: wait until it says what to type")
    return stack.client(current["endpoint"], "ec2")


def _chosen(ec2: Any, instance: str, usage: str) -> Any:
    """The instance of this id or name."""
    there = stack.instances(ec2, "pending", "running")
    named = {_name(each): each for each in there.values()} | there
    if instance not in named:
        which = f"no instance {instance!r} here" if instance else f"which? {usage}"
        listed = ", ".join(map(_told, there.values())) or "none, see make launch"
        raise Refused(f"{which}; there are: {listed}")
    return named[instance]


def _told(instance: Any) -> str:
    tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
    return f"{instance['InstanceId']} {_name(instance)} ({tags.get('Type', 'no Type')})"


def _name(instance: Any) -> str:
    return str(instance["PrivateDnsName"].partition(".")[0])


def _awaited(answer: Callable[[Mapping[str, str]], Any], what: str) -> Any:
    """What becomes true of the published URLs."""
    deadline = time.monotonic() + MACHINE_SECONDS
    while not (found := answer(_current()["urls"] or {})):
        if time.monotonic() > deadline:
            raise Refused(f"{what}: not within {MACHINE_SECONDS} s; the demo says why")
        time.sleep(0.1)
    return found


def _in_one_line(command: Callable[..., str]) -> Callable[..., str]:
    """What AWS refuses is Refused, too, and so is a system that ends just now."""

    def call(**options: str) -> str:
        try:
            return command(**options)
        except EndpointConnectionError as error:
            raise Refused(NOTHING_RUNS) from error
        except (BotoCoreError, ClientError) as error:
            raise Refused(str(error)) from error

    return call


COMMANDS: Mapping[str, Callable[..., str]] = {
    command.__name__: _in_one_line(command)
    for command in (invoke, launch, terminate, retag)
}
"""By name; each raises nothing but Refused."""
