"""Who is replaced as unhealthy: whom somebody said to be so, and whose machine EC2 says does not run."""

from datetime import datetime, timedelta

from local.auto_scaling.model import Group, Member
from local.auto_scaling.states import COOL, COUNTED, RESTING, TERMINATE, Place

HALTED = frozenset({"stopping", "stopped", "shutting-down", "terminated"})
GONE = frozenset({"shutting-down", "terminated"})
UNHEALTHY = "Unhealthy"


def examine(member: Member, machine: str, seconds: float, now: datetime) -> None:
    """Note what EC2 says; the group believes it some time later. Nobody asks about Standby or about those who leave."""
    if machine not in _bad(member):
        member.unwell_since = None
        return
    member.unwell_since = member.unwell_since or now
    if now >= member.unwell_since + timedelta(seconds=seconds):
        member.health = UNHEALTHY


def _bad(member: Member) -> frozenset[str]:
    if member.state in COUNTED:
        return HALTED
    return GONE if member.state in RESTING.values() else frozenset()


def replace(group: Group, now: datetime) -> bool:
    """Send whoever is unhealthy on the way out, hooks included; whether there was anybody."""
    ill = [
        each
        for each in group.members.values()
        if each.health == UNHEALTHY
        and (each.is_counted or each.state in RESTING.values())
    ]
    for member in ill:
        cause = (
            "an instance was taken out of service in response to an EC2 health check."
        )
        is_warm = member.state.is_warmed
        begin, place = (
            (COOL.begin, Place.POOL) if is_warm else (TERMINATE.begin, Place.GROUP)
        )
        member.set_out(begin, (place, Place.EC2), cause, now)
    return bool(ill)
