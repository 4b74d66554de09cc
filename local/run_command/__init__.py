"""Stands in for SSM Run Command: as strict as the service about requests, documents, limits and timing.

What the application does not use of it is refused: `local.run_command.played`.

`run_command_on_moto()` makes a service, `attach(service)` puts it behind the SSM client of this process's moto,
`register` adds a host, and `tick` moves it to its clock's present.
"""

from local.run_command.agents import (
    NEW_AGENT,
    Agent,
    Behaviour,
    Clock,
    DocumentResult,
    Execution,
    ManualClock,
    Order,
    ScriptedAgent,
    StepResult,
)
from local.run_command.errors import ApiError, NotPlayed
from local.run_command.moto_patch import attach, run_command_on_moto
from local.run_command.notifications import Event
from local.run_command.replies import FINAL, Delay, Unordered, at_once
from local.run_command.service import RunCommand, wall_clock
from local.run_command.statuses import Detail

__all__ = [
    "FINAL",
    "NEW_AGENT",
    "Agent",
    "ApiError",
    "Behaviour",
    "Clock",
    "Delay",
    "Detail",
    "DocumentResult",
    "Event",
    "Execution",
    "ManualClock",
    "NotPlayed",
    "Order",
    "RunCommand",
    "ScriptedAgent",
    "StepResult",
    "Unordered",
    "at_once",
    "attach",
    "run_command_on_moto",
    "wall_clock",
]
