"""The service: takes commands, ramps them over the hosts, delivers, times out and announces.

Nothing happens between two calls: `tick` moves every open command forward to the clock's present. Tests call it under a
clock of their own; the local system calls it from a thread, so every public method holds the lock. Events are handed
over after the lock is released.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import uuid4

from local.run_command.agents import Agent, Clock, Execution
from local.run_command.commands import Invocation, SentCommand
from local.run_command.delivery import advance
from local.run_command.document import DocumentVersion, check_parameters
from local.run_command.errors import ApiError, validation_error
from local.run_command.instances import ManagedInstance
from local.run_command.notifications import Event, announce
from local.run_command.replies import Delay, Unordered
from local.run_command.statuses import Detail


class Documents(Protocol):
    """Where documents are kept."""

    def find(self, name: str, version: str) -> DocumentVersion:
        """That version (a number, $DEFAULT or $LATEST); InvalidDocument or InvalidDocumentVersion otherwise."""


def wall_clock() -> datetime:
    """Real time."""
    return datetime.now(UTC)


@dataclass(slots=True)
class RunCommand:
    """Run Command of one account and region."""

    documents: Documents
    account: str = "123456789012"
    region: str = "eu-west-1"
    clock: Clock = wall_clock
    on_event: Callable[[Event], None] = lambda _event: None
    permits: Callable[[str], bool] = lambda _instance_id: True
    """Whether the caller's policy lets it send to this instance; a no is AccessDenied in the invocation."""
    refuses: Callable[[str], bool] = lambda _instance_id: False
    """Whether the caller's policy denies the whole call because of this instance (instance ids are resources)."""
    consistency_seconds: float = 1.0
    """How long a new command is unknown to the calls that read it."""
    delay: Delay = field(default_factory=Unordered)
    """How long each reply of an agent is on its way."""
    instances: dict[str, ManagedInstance] = field(default_factory=dict)
    commands: list[SentCommand] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)
    """Held by whoever reads or changes commands and instances; never while an event is handed over."""

    def register(self, instance_id: str, agent: Agent) -> None:
        """The host's agent came up for the first time."""
        with self.lock:
            now = self.clock()
            self.instances[instance_id] = ManagedInstance(instance_id, agent, now, now)

    def deregister(self, instance_id: str) -> None:
        """The instance is gone for good: what waits for it is Undeliverable, what runs there is never reported."""
        with self.lock:
            self.instances.pop(instance_id, None)

    def disconnect(
        self, instance_id: str, *, crash: bool = False, silent_seconds: float = 0
    ) -> None:
        """The agent cannot be reached, since so long; called Online for minutes more. A crash also ends its work."""
        silent = timedelta(seconds=silent_seconds)
        with self.lock:
            self.instances[instance_id].last_ping = self.clock() - silent
            if not crash:
                return
            for execution, invocation in self._running_on(instance_id):
                execution.cancel()
                invocation.execution, invocation.is_orphaned = None, True

    def reconnect(self, instance_id: str) -> None:
        """The agent is back: waiting commands are delivered late, what a crash cut off is reported after a minute."""
        with self.lock:
            instance = self.instances[instance_id]
            instance.last_ping = None
            instance.connected = self.clock()
        self.tick()

    def _running_on(self, instance_id: str) -> list[tuple[Execution, Invocation]]:
        every = (
            i
            for command in self.commands
            for i in command.invocations
            if i.instance_id == instance_id
        )
        return [(i.execution, i) for i in every if i.execution]

    def send(self, request: Mapping[str, Any]) -> SentCommand:
        """SendCommand, after the request passed the model's limits. Raises ApiError, and then nobody is sent it."""
        with self.lock:
            document = self._document(request)
            check_parameters(document, request.get("Parameters", {}))
            targets = self._targets(request)
            for target in filter(self.refuses, targets):
                raise ApiError(
                    "AccessDeniedException",
                    f"not authorized to perform: ssm:SendCommand on {target}",
                )
            invocations = tuple(map(self._invocation, targets))
            command = SentCommand(
                str(uuid4()), document, request, self.clock(), invocations
            )
            self.commands.append(command)
            return command

    def _document(self, request: Mapping[str, Any]) -> DocumentVersion:
        """The version asked for, which must have the hash asked for. Only Sha256 is played."""
        document = self.documents.find(
            request["DocumentName"], request.get("DocumentVersion", "$DEFAULT")
        )
        is_sha256 = request.get("DocumentHashType", "Sha256") == "Sha256"
        if request.get("DocumentHash") and not (
            is_sha256 and request["DocumentHash"] == document.sha256
        ):
            raise ApiError(
                "InvalidDocument",
                "The hash of the document does not match DocumentHash",
            )
        return document

    def _targets(self, request: Mapping[str, Any]) -> Sequence[str]:
        ids = request.get("InstanceIds", ())
        if not ids:
            raise validation_error("InstanceIds must name an instance")
        if len(set(ids)) != len(ids):
            raise ApiError("DuplicateInstanceId", "An instance id is given twice")
        if unreachable := [
            instance_id for instance_id in ids if not self._is_online(instance_id)
        ]:
            raise ApiError(
                "InvalidInstanceId",
                f"Instances {unreachable} not in a valid state for account {self.account}",
            )
        return list(ids)

    def _is_online(self, instance_id: str) -> bool:
        instance = self.instances.get(instance_id)
        return instance is not None and instance.ping_status(self.clock()) == "Online"

    def _invocation(self, instance_id: str) -> Invocation:
        detail = Detail.PENDING if self.permits(instance_id) else Detail.ACCESS_DENIED
        return Invocation(instance_id, detail)

    def visible(self) -> list[SentCommand]:
        """Commands that reading calls know already, newest first."""
        with self.lock:
            since = self.clock() - timedelta(seconds=self.consistency_seconds)
            return [
                command
                for command in reversed(self.commands)
                if command.requested <= since
            ]

    def tick(self) -> None:
        """Move every open command to the present and announce what changed."""
        with self.lock:
            now = self.clock()
            events: list[Event] = []
            for command in self.commands:
                if not command.is_settled:
                    advance(command, self.instances, self.delay, now)
                    events += announce(command, self.account, self.region, now)
        for event in events:
            self.on_event(event)
