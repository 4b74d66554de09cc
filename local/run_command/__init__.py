"""Stands in for SSM Run Command: as strict as the service about requests, documents, limits and timing.

What the application does not use of it is refused: `local.run_command.played`.

`run_command_on_moto()` makes a service, `attach(service)` puts it behind the SSM client of this process's moto,
`register` adds a host, and `tick` moves it to its clock's present.
"""

from local.run_command.agents import (
    NEW_AGENT,
    REJECTED,
    ROOM,
    WORKERS,
    Agent,
    Clock,
    DocumentResult,
    Execution,
    ManualClock,
    Order,
    StepResult,
    after_worker_died,
    readable,
)
from local.run_command.errors import ApiError, NotPlayed
from local.run_command.moto_patch import attach, run_command_on_moto
from local.run_command.notifications import Event
from local.run_command.replies import FINAL, Delay, Unordered, at_once
from local.run_command.scripted import (
    NAMELESS_SECONDS,
    SILENT_SECONDS,
    WORKER_SECONDS,
    Behaviour,
    ScriptedAgent,
    Trouble,
)
from local.run_command.service import RunCommand, wall_clock
from local.run_command.statuses import Detail

__all__ = [
    "FINAL",
    "NAMELESS_SECONDS",
    "NEW_AGENT",
    "REJECTED",
    "ROOM",
    "SILENT_SECONDS",
    "WORKERS",
    "WORKER_SECONDS",
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
    "Trouble",
    "Unordered",
    "after_worker_died",
    "at_once",
    "attach",
    "readable",
    "run_command_on_moto",
    "wall_clock",
]
