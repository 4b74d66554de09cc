"""How a run ends: one verdict, whether it is good or not."""

from __future__ import annotations

from typing import NamedTuple


class Verdict(NamedTuple):
    """What the marker says of the whole run. The reasons are those of docs/host.md."""

    status: int  # exit status of the process
    outcome: str
    reason: str
    detail: str = ""


class Ended(Exception):
    """The run is over here, with this verdict; whatever is open closes on the way out."""

    def __init__(
        self, status: int, outcome: str, reason: str, detail: str = ""
    ) -> None:
        super().__init__(outcome, reason, detail)
        self.verdict = Verdict(status, outcome, reason, detail)


class Interrupted(BaseException):
    """Somebody ends the run: it still opens the ports and says so. SIGKILL leaves no time for that."""


def failed(status: int, reason: str, detail: str = "") -> Ended:
    """A failure, to be raised."""
    return Ended(status, "failed", reason, detail)


class ReloadFailed(Exception):
    """No new worker was proven. The reasons are those of docs/host.md."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
