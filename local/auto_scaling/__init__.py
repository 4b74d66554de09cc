"""Stands in for Auto Scaling: groups whose instances take time, wait for hooks, and are EC2's.

Played is what the application and its tests use; whatever else AWS would take is refused as not played.

`auto_scaling_on_moto()` makes a service, `attach(service)` puts it behind the clients of this process's moto, and
`tick` moves it to its clock's present.
"""

from local.auto_scaling.errors import ApiError, NotPlayed
from local.auto_scaling.events import Event, Fate, Mail, at_once
from local.auto_scaling.model import GROUP_TAG, Group, Member
from local.auto_scaling.moto_patch import attach, auto_scaling_on_moto
from local.auto_scaling.service import AutoScaling
from local.auto_scaling.states import State

__all__ = [
    "GROUP_TAG",
    "ApiError",
    "AutoScaling",
    "Event",
    "Fate",
    "Group",
    "Mail",
    "Member",
    "NotPlayed",
    "State",
    "at_once",
    "attach",
    "auto_scaling_on_moto",
]
