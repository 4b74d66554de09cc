"""A check as it was asked: one object in the bucket, put once, from which its answers are read later."""

from collections.abc import Mapping
from dataclasses import dataclass

from haproxy_sync.fleet.model import Proxy
from haproxy_sync.state.model import Agent, Command, Digest, Outcome, UnixSeconds


@dataclass(frozen=True, slots=True)
class NotAsked:
    """Why a proxy was not asked."""

    outcome: Outcome
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """Whom it is about, what was sent, and who was not asked."""

    check_id: str
    at: UnixSeconds
    proxies: tuple[Proxy, ...]
    candidates: Mapping[str, Digest]  # by proxy
    agents: Mapping[str, Agent]
    commands: tuple[Command, ...]
    not_asked: Mapping[str, NotAsked]

    @property
    def asked(self) -> tuple[str, ...]:
        """Who was sent a command."""
        return tuple(target for each in self.commands for target in each.targets)

    @property
    def unreachable(self) -> tuple[str, ...]:
        """Whose agent no command reached."""
        return tuple(
            key for key, why in self.not_asked.items() if why.outcome is Outcome.MISSING
        )
