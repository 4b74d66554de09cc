"""What a change works with, from the checks to the proof."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from haproxy_apply.files import Backup, LiveFile
    from haproxy_apply.haproxy import HAProxy
    from haproxy_apply.journal import Journal
    from haproxy_apply.model import Model
    from haproxy_apply.processes import Discovery
    from haproxy_apply.report import Findings
    from haproxy_apply.request import Request
    from haproxy_apply.state import Memory


class Host(NamedTuple):
    """A run (its first six fields are those of `apply.Run`) whose candidate is there and checked."""

    request: Request
    live: LiveFile
    discovery: Discovery
    memory: Memory
    findings: Findings
    journal: Journal
    haproxy: HAProxy
    fallback: Backup | None  # the file to go back to
    old: Model  # of the file that ran before
    new: Model
    check_seconds: float  # that `haproxy -c` took
    load_seconds: float  # for which a load is waited for
    unit: str = ""  # of systemd; empty: none, or not looked for yet
    is_rollback: bool = False  # so that nothing comes behind it

    @property
    def ran(self) -> str:
        """The MD5 of the file that ran before, of which `old` is the model."""
        return self.fallback.md5 if self.fallback else self.live.md5
