"""Stands for the hosts' side of SSM: whose agent is up, and the rights that its instance profile gives it.

Checked: the instance runs and has an instance profile whose role may register (`ssm:UpdateInstanceInformation`); what
the agent downloads, it downloads with that role's session credentials.
"""

import logging
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.config import Config
from moto.ec2.models import ec2_backends

from local.agent import HostAgent
from local.cloud import ACCOUNT, REGION
from local.cloud.access import policies_of
from local.cloud.clients import client_of
from local.cloud.policies import Request, allows
from local.lab import ENVIRONMENT
from local.run_command import RunCommand
from local.run_command.instances import PING_SECONDS

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Machine:
    """A lab host that another process holds, known by the command prefix that enters it and by its root directory."""

    enter: Sequence[str]
    root: Path

    def popen(
        self,
        command: Sequence[str],
        *,
        cwd: str,
        env: Mapping[str, str],
        **options: Any,
    ) -> "subprocess.Popen[Any]":
        """Start a command in a process group of its own."""
        entered = [*self.enter, "env", f"--chdir={cwd}", *command]
        return subprocess.Popen(
            entered, env={**ENVIRONMENT, **env}, start_new_session=True, **options
        )

    def path(self, path: str) -> Path:
        """Where this process sees a file of the machine."""
        return self.root / path.lstrip("/")


class Hosts:
    """The hosts whose agents have registered."""

    def __init__(self, service: RunCommand, endpoint: str) -> None:
        self.service = service
        self.endpoint = endpoint
        self.agents: dict[str, HostAgent] = {}

    def obey(self, order: Mapping[str, Any]) -> None:
        """`{"register": id, "enter": prefix, "root": directory}`, or `{"crash": id}`.

        A crash may be so long ago (`"is_noticed": true`) that the service has noticed.
        """
        match order:
            case {"register": str(instance_id), "enter": enter, "root": str(root)}:
                self._register(instance_id, Machine(enter, Path(root)))
            case {"crash": str(instance_id)}:
                if instance_id in self.agents:
                    silent = PING_SECONDS if order.get("is_noticed") else 0
                    self.service.disconnect(
                        instance_id, crash=True, silent_seconds=silent
                    )
                    self.agents.pop(instance_id).close()
            case _:
                raise ValueError(f"unknown order {order}")

    def close(self) -> None:
        """Kill what the agents run."""
        for agent in self.agents.values():
            agent.close()

    def _register(self, instance_id: str, machine: Machine) -> None:
        role = _role_of(instance_id)
        if not role or not allows(
            policies_of(role), Request("ssm:UpdateInstanceInformation", "*")
        ):
            log.error(
                "%s cannot register: its instance profile lacks AmazonSSMManagedInstanceCore",
                instance_id,
            )
            return
        config = Config(s3={"addressing_style": "path"})
        s3 = client_of(role, instance_id, "s3", self.endpoint, config=config)
        self.agents[instance_id] = HostAgent(machine, s3, region=REGION)
        self.service.register(instance_id, self.agents[instance_id])


def _role_of(instance_id: str) -> str:
    backend = ec2_backends[ACCOUNT][REGION]
    instance = backend.get_instance_by_id(instance_id)
    association = backend.iam_instance_profile_associations.get(instance_id)
    if not instance or instance.state != "running" or not association:
        return ""
    # IAM allows one.
    return "".join(str(role.arn) for role in association.iam_instance_profile.roles)
