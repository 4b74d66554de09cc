"""The border to EC2: launches, ends and watches the instances of groups, which are moto's.

moto changes a state at once. Either somebody gives its instances time (`local.cloud.ec2`), or this does, by the
service's clock: then each step is an event, too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from moto.ec2.models import ec2_backends

from local.auto_scaling.model import GROUP_TAG, Launch
from local.run_command import Clock

type Say = Callable[[str, str, Mapping[str, Any], str], None]
"""Source, detail type, detail and resource of an event."""

CODES: Mapping[str, int] = {
    "pending": 0,
    "running": 16,
    "shutting-down": 32,
    "terminated": 48,
    "stopping": 64,
    "stopped": 80,
}


@dataclass(slots=True)
class _Move:
    """A state that ends by the clock."""

    during: str
    after: str
    due: datetime


@dataclass(slots=True)
class MotoMachines:
    """The instances that moto keeps for an account and region."""

    account: str
    region: str
    clock: Clock
    seconds: float | None
    """How long an instance is pending, stopping or shutting down; None: moto's own instances take their time."""
    changed: Callable[[], None] = lambda: None
    """Called after each change that did not come by EC2's API."""
    say: Say = lambda *_: None
    moves: dict[str, _Move] = field(default_factory=dict)

    @property
    def _backend(self) -> Any:
        return ec2_backends[self.account][self.region]

    def subnets(self, ids: list[str], zones: list[str]) -> dict[str, str]:
        """Zone by subnet, of those that are named or else the default ones of the zones; unknown ones are left out."""
        known = self._backend.describe_subnets()
        return {
            subnet.id: subnet.availability_zone
            for subnet in known
            if subnet.id in ids
            or (subnet.default_for_az and subnet.availability_zone in zones)
        }

    def template(self, launch: Launch) -> Launch:
        """What the launch template says by now. Raises moto's error for a template or version that does not exist."""
        if not launch.template_id:
            return launch
        found = self._backend.get_launch_template(launch.template_id)
        version = found.get_version(launch.version)
        market = version.data.get("InstanceMarketOptions", {})
        return replace(
            launch,
            template_name=found.name,
            version=str(version.number),
            image_id=version.image_id,
            instance_type=version.instance_type or "m1.small",
            profile=version.data.get("IamInstanceProfile", {}),
            is_spot=launch.is_spot or market.get("MarketType") == "spot",
        )

    def template_id(self, name: str) -> str:
        """Of the launch template of that name. Raises moto's error if there is none."""
        return str(self._backend.get_launch_template_by_name(name).id)

    def launch(self, launch: Launch, subnet: str, tags: Mapping[str, str]) -> str:
        """Run one instance; its id."""
        template: dict[str, str] = {}
        if launch.template_id:
            template = {
                "LaunchTemplateId": launch.template_id,
                "Version": launch.version,
            }
        reservation = self._backend.run_instances(
            launch.image_id,
            1,
            None,
            [],
            instance_type=launch.instance_type,
            is_instance_type_default=False,
            region_name=self.region,
            placement=None,
            subnet_id=subnet,
            nics=[],
            tags={"instance": dict(tags)},
            launch_template=template,
            instance_market_options="spot" if launch.is_spot else {},
        )
        (instance,) = reservation.instances
        if launch.profile:
            self._backend.associate_iam_instance_profile(
                instance_id=instance.id,
                iam_instance_profile_name=launch.profile.get("Name"),
                iam_instance_profile_arn=launch.profile.get("Arn"),
            )
        self._begin(instance.id, "pending", "running")
        return str(instance.id)

    def describe(self, instance_id: str) -> Any:
        """The instance as moto keeps it; None for nobody."""
        return self._backend.get_instance_by_id(instance_id)

    def state(self, instance_id: str) -> str:
        """EC2's word."""
        instance = self.describe(instance_id)
        return str(instance.state) if instance else "terminated"

    def terminate(self, instance_id: str) -> None:
        """Unless it is so already."""
        if self.state(instance_id) not in {"shutting-down", "terminated"}:
            self._backend.terminate_instances([instance_id])
            self._begin(instance_id, "shutting-down", "terminated")

    def stop(self, instance_id: str) -> None:
        """Stop it, or hibernate it, which looks the same."""
        if self.state(instance_id) == "running":
            self._backend.stop_instances([instance_id])
            self._begin(instance_id, "stopping", "stopped")

    def start(self, instance_id: str) -> None:
        """Start it, if it was stopped."""
        if self.state(instance_id) == "stopped":
            self._backend.start_instances([instance_id])
            self._begin(instance_id, "pending", "running")

    def release(self, instance_id: str) -> None:
        """It is no group's any more."""
        self._backend.delete_tag_keys([instance_id], [GROUP_TAG])
        self.changed()

    def _begin(self, instance_id: str, during: str, after: str) -> None:
        if self.seconds is not None:
            due = self.clock() + timedelta(seconds=self.seconds)
            self.moves[instance_id] = _Move(during, after, due)
            self._enter(instance_id, during)
        self.changed()

    def tick(self, now: datetime) -> None:
        """End what is over by now; whom somebody else sent elsewhere stays there."""
        for instance_id, move in list(self.moves.items()):
            if self.state(instance_id) != move.during:
                del self.moves[instance_id]
            elif now >= move.due:
                del self.moves[instance_id]
                self._enter(instance_id, move.after)
                self.changed()

    def _enter(self, instance_id: str, state: str) -> None:
        instance = self.describe(instance_id)
        # Private, but moto offers no setter.
        instance._state.name, instance._state.code = state, CODES[state]  # noqa: SLF001
        self.say(
            "aws.ec2",
            "EC2 Instance State-change Notification",
            {"instance-id": instance_id, "state": state},
            self.arn(instance_id),
        )

    def arn(self, instance_id: str) -> str:
        """The instance's."""
        return f"arn:aws:ec2:{self.region}:{self.account}:instance/{instance_id}"
