"""Whose this host is: the stack that published here. What decides between two stacks is one pure function."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from haproxy_apply import durable, request
from haproxy_apply.errors import Ended, failed
from haproxy_apply.state import STATE_DIR

if TYPE_CHECKING:
    from haproxy_apply.report import Findings
    from haproxy_apply.request import Request
    from haproxy_apply.state import Memory, State

REFUSED = f"{STATE_DIR}/refused"
OTHER_PUBLISHER = "other-publisher"
REMEMBERED_SECONDS = 24 * 3600  # a stack that was deleted since is not named for longer


class Refused(NamedTuple):
    """The stack that was refused last, and when, in unix seconds of this host."""

    publisher: str
    at: int


def refusal(wanted: Request, known: State) -> Ended | None:
    """Why the command must not work here; None: it may.

    A host of nobody is anybody's. Who adopts the host of another one needs a fence above all that this host had, so of
    two stacks that adopt it the newer command wins, whichever comes last.
    """
    is_anothers = known.publisher not in ("", wanted.publisher)
    if is_anothers and not wanted.adopts:
        return failed(12, OTHER_PUBLISHER, f"this host belongs to {known.publisher}")
    if wanted.fence < known.fence + is_anothers:
        detail = f"this host has fence {known.fence}"
        return Ended(0, "superseded", "older-generation", detail)
    return None


def taken(known: State, wanted: Request) -> State:
    """The state once the command's config is there: fence and publisher are always of one command."""
    return known._replace(fence=wanted.fence, publisher=wanted.publisher)


def check(wanted: Request, known: State) -> None:
    """The command may work here. `Ended`: it may not, and who is refused for another one's sake is remembered."""
    refused = refusal(wanted, known)
    if refused is None:
        return
    if refused.verdict.reason == OTHER_PUBLISHER:
        with suppress(OSError):  # it is only for the owner to know
            durable.write_text(REFUSED, f"{wanted.publisher} {int(time.time())}\n")
    raise refused


def tell(memory: Memory, findings: Findings) -> None:
    """Whose the host is, as far as the disk has it, and who was refused last."""
    findings.publisher = memory.publisher
    findings.refused = last_refused(memory.publisher)


def last_refused(owner: str) -> Refused | None:
    """Who was refused last, if it was within a day and is not the owner by now."""
    publisher, _, at = durable.read_text(REFUSED).strip().partition(" ")
    if not request.is_publisher(publisher) or not at.isdecimal():
        return None
    is_over = time.time() - int(at) > REMEMBERED_SECONDS
    return None if publisher == owner or is_over else Refused(publisher, int(at))
