"""Managed instances: who is registered, who can be reached, and DescribeInstanceInformation's view of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from local.run_command.agents import Agent
from local.run_command.errors import ApiError

PING_SECONDS = 300
"""How long the service still calls a silent agent Online."""

_FILTERS = {
    "InstanceIds": "InstanceId",
    "PingStatus": "PingStatus",
    "PlatformTypes": "PlatformType",
    "AgentVersion": "AgentVersion",
    "ResourceType": "ResourceType",
    "IamRole": "IamRole",
}


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
        if self.last_ping is None or now - self.last_ping < timedelta(seconds=PING_SECONDS):
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


def matches_filters(described: Mapping[str, Any], tags: Mapping[str, str], request: Mapping[str, Any]) -> bool:
    """Whether an instance passes every filter of a DescribeInstanceInformation request."""
    filters = [(f["Key"], f["Values"]) for f in request.get("Filters", ())]
    filters += [(f["key"], f["valueSet"]) for f in request.get("InstanceInformationFilterList", ())]
    keys = [key for key, _ in filters]
    if len(set(keys)) != len(keys):
        raise ApiError("InvalidInstanceInformationFilterValue", "A filter key may be given once")
    if any(key.startswith("tag") for key in keys) and not all(key.startswith("tag") for key in keys):
        raise ApiError("InvalidFilterKey", "Tag filters can't be combined with other filter types")
    return all(_passes(described, tags, key, values) for key, values in filters)


def _passes(described: Mapping[str, Any], tags: Mapping[str, str], key: str, values: Sequence[str]) -> bool:
    if key.startswith("tag"):
        return has_tag(tags, key, values)
    if key not in _FILTERS:
        raise ApiError("InvalidFilterKey", f"The filter key {key} isn't valid")
    return described.get(_FILTERS[key]) in values


def has_tag(tags: Mapping[str, str], key: str, values: Sequence[str]) -> bool:
    """Whether the tags satisfy `tag:Name` with one of the values, or `tag-key`."""
    if key == "tag-key":
        return any(value in tags for value in values)
    return tags.get(key.removeprefix("tag:")) in values
