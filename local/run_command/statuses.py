"""States of a command and of its invocations, and how the service folds the second into the first.

Source: "Understanding command statuses" of the Systems Manager user guide. `Status` is the coarse word, `StatusDetails`
the exact one; only the exact one tells an undeliverable host from a failed one.
"""

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum


class Detail(StrEnum):
    """`StatusDetails` of an invocation or a command."""

    PENDING = "Pending"
    DELAYED = "Delayed"
    IN_PROGRESS = "InProgress"
    SUCCESS = "Success"
    FAILED = "Failed"
    EXECUTION_TIMED_OUT = "ExecutionTimedOut"
    DELIVERY_TIMED_OUT = "DeliveryTimedOut"
    CANCELLED = "Cancelled"
    TERMINATED = "Terminated"
    UNDELIVERABLE = "Undeliverable"
    ACCESS_DENIED = "AccessDenied"
    INCOMPLETE = "Incomplete"

    @property
    def status(self) -> str:
        """The coarse `Status` beside this detail."""
        return _STATUS.get(self, self.value)

    @property
    def is_final(self) -> bool:
        """Whether nothing follows any more."""
        return self not in _OPEN


WAITING = frozenset({Detail.PENDING, Detail.DELAYED})
"""No host has the command yet."""

_OPEN = WAITING | {Detail.IN_PROGRESS}
_STATUS = {
    Detail.DELAYED: "Pending",
    Detail.EXECUTION_TIMED_OUT: "TimedOut",
    Detail.DELIVERY_TIMED_OUT: "TimedOut",
    Detail.TERMINATED: "Cancelled",
    Detail.UNDELIVERABLE: "Failed",
    Detail.ACCESS_DENIED: "Failed",
    Detail.INCOMPLETE: "Failed",
}

COUNTED_ERRORS = frozenset({Detail.FAILED, Detail.EXECUTION_TIMED_OUT})
"""What MaxErrors counts. Undeliverable, DeliveryTimedOut and AccessDenied are not in it."""

_IGNORED_UNLESS_ALONE = frozenset({Detail.UNDELIVERABLE, Detail.ACCESS_DENIED})


def limit(value: str, targets: int) -> int:
    """Number of targets that a MaxConcurrency or MaxErrors such as `10` or `25%` means; a percentage rounds down."""
    if value.endswith("%"):
        return targets * int(value[:-1]) // 100
    return int(value)


def allowed_in_flight(max_concurrency: int, finished: int) -> int:
    """The ramp: one host first, then twice as many each time, up to the limit."""
    return min(max(max_concurrency, 1), finished + 1)


def exceeded(details: Sequence[Detail], max_errors: int) -> bool:
    """Whether the service stops sending: one error more than allowed."""
    return sum(detail in COUNTED_ERRORS for detail in details) > max_errors


def folded(details: Sequence[Detail], max_errors: int) -> Detail:
    """State of the command whose invocations, at least one, are in these states."""
    if all(detail.is_final for detail in details):
        return _final(details, max_errors)
    is_started = any(detail not in WAITING for detail in details)
    return Detail.IN_PROGRESS if is_started else Detail.PENDING


def _final(details: Sequence[Detail], max_errors: int) -> Detail:
    counts = Counter(
        detail for detail in details if detail not in _IGNORED_UNLESS_ALONE
    )
    enough_to_fail = max(max_errors, 1)
    errors = sum(map(counts.__getitem__, COUNTED_ERRORS))
    if not counts:
        return Detail.FAILED
    if counts[Detail.SUCCESS] == counts.total():
        return Detail.SUCCESS
    if errors >= enough_to_fail:
        return Detail.FAILED if counts[Detail.FAILED] else Detail.EXECUTION_TIMED_OUT
    if counts[Detail.DELIVERY_TIMED_OUT] >= enough_to_fail:
        return Detail.DELIVERY_TIMED_OUT
    return Detail.INCOMPLETE
