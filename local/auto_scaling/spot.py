"""Spot instances: their requests, and what EC2 says before it takes an instance back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from local.auto_scaling.errors import ApiError
from local.auto_scaling.machines import MotoMachines

NOTICE_SECONDS = 120
"""Between the notice and the end."""

_ENDS: Mapping[str, tuple[str, str, str]] = {
    "marked-for-termination": (
        "terminate",
        "instance-terminated-no-capacity",
        "closed",
    ),
    "marked-for-stop": ("stop", "instance-stopped-no-capacity", "disabled"),
}
"""By status code of the notice: what EC2 does then, and the request's status code and state after it."""


@dataclass(slots=True)
class SpotRequest:
    """The request behind a spot instance."""

    instance_id: str
    created: datetime
    request_id: str = field(default_factory=lambda: f"sir-{uuid4().hex[:8]}")
    code: str = "fulfilled"
    state: str = "active"
    updated: datetime | None = None
    ends: datetime | None = None

    def described(self) -> dict[str, Any]:
        """As DescribeSpotInstanceRequests has it."""
        return {
            "SpotInstanceRequestId": self.request_id,
            "InstanceId": self.instance_id,
            "State": self.state,
            "Status": {
                "Code": self.code,
                "Message": f"The status of your Spot request is {self.code}.",
                "UpdateTime": self.updated or self.created,
            },
            "CreateTime": self.created,
            "Type": "one-time",
            "InstanceInterruptionBehavior": "terminate",
            "ProductDescription": "Linux/UNIX",
        }


@dataclass(slots=True)
class Spot:
    """The spot requests of an account and region."""

    machines: MotoMachines
    notice_seconds: float = NOTICE_SECONDS
    requests: dict[str, SpotRequest] = field(default_factory=dict)
    """By instance."""

    def register(self, instance: Any) -> None:
        """A spot instance was launched, by whomever."""
        request = SpotRequest(instance.id, self.machines.clock())
        self.requests[instance.id] = request
        instance.spot_instance_request_id = request.request_id

    def mark(self, instance_id: str, code: str = "marked-for-termination") -> None:
        """EC2 wants the instance back: the status says so, an event does, and it ends when the notice is over."""
        request, now = self.requests[instance_id], self.machines.clock()
        request.code, request.updated = code, now
        request.ends = now + timedelta(seconds=self.notice_seconds)
        zone = self.machines.describe(instance_id).placement.zone
        # The one event whose ARN has the zone in the place of the region, and no account.
        arn = f"arn:aws:ec2:{zone}:instance/{instance_id}"
        detail = {"instance-id": instance_id, "instance-action": _ENDS[code][0]}
        self.machines.say(
            "aws.ec2", "EC2 Spot Instance Interruption Warning", detail, arn
        )

    def recommend_rebalance(self, instance_id: str) -> None:
        """EC2 says that it may want the instance back."""
        self.machines.say(
            "aws.ec2",
            "EC2 Instance Rebalance Recommendation",
            {"instance-id": instance_id},
            self.machines.arn(instance_id),
        )

    def tick(self, now: datetime) -> None:
        """End what the notice said."""
        for request in self.requests.values():
            if request.ends and now >= request.ends:
                action, code, state = _ENDS[request.code]
                order = {
                    "terminate": self.machines.terminate,
                    "stop": self.machines.stop,
                }
                order[action](request.instance_id)
                request.code, request.state, request.ends = code, state, None
                request.updated = now

    def described(self, request_ids: list[str]) -> list[dict[str, Any]]:
        """Those requests, or all; an unknown one is an error."""
        known = {each.request_id: each for each in self.requests.values()}
        for request_id in request_ids:
            if request_id not in known:
                raise ApiError(
                    "InvalidSpotInstanceRequestID.NotFound",
                    f"The spot instance request ID '{request_id}' does not exist",
                )
        return [known[each].described() for each in request_ids or known]
