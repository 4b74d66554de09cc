"""Managed instances: who is registered, who can be reached, and DescribeInstanceInformation's view of them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from local.run_command.agents import Agent

PING_SECONDS = 300
"""How long the service still calls a silent agent Online."""


@dataclass(slots=True)
class ManagedInstance:
    """A host whose agent registered with the service."""

    instance_id: str
    agent: Agent
    registered: datetime
    connected: datetime
    last_ping: datetime | None = None
    """When the agent was heard last; None while it is connected."""

    @property
    def is_connected(self) -> bool:
        """Whether a message reaches the agent now, whatever the service believes."""
        return self.last_ping is None

    def ping_status(self, now: datetime) -> str:
        """What the service believes: it needs minutes to notice a dead agent."""
        if self.last_ping is None or now - self.last_ping < timedelta(
            seconds=PING_SECONDS
        ):
            return "Online"
        return "ConnectionLost"

    def described(self, now: datetime) -> dict[str, Any]:
        """One element of InstanceInformationList."""
        return {
            "InstanceId": self.instance_id,
            "PingStatus": self.ping_status(now),
            "LastPingDateTime": self.last_ping or now,
            "AgentVersion": self.agent.version,
            "IsLatestVersion": True,
            "PlatformType": "Linux",
            "PlatformName": "Debian GNU/Linux",
            "PlatformVersion": "12",
            "ResourceType": "EC2Instance",
            "RegistrationDate": self.registered,
        }
