"""States of a command and of its invocations, and how the service folds the second into the first.

Source: "Understanding command statuses" of the Systems Manager user guide. `Status` is the coarse word, `StatusDetails`
the exact one; only the exact one tells an undeliverable host from a failed one.
"""

from collections.abc import Sequence
from enum import StrEnum


class Detail(StrEnum):
    """`StatusDetails` of an invocation or a command."""

    PENDING = "Pending"
    DELAYED = "Delayed"
    IN_PROGRESS = "InProgress"
    CANCELLING = "Cancelling"
    SUCCESS = "Success"
    FAILED = "Failed"
    EXECUTION_TIMED_OUT = "ExecutionTimedOut"
    DELIVERY_TIMED_OUT = "DeliveryTimedOut"
    CANCELLED = "Cancelled"
    TERMINATED = "Terminated"
    UNDELIVERABLE = "Undeliverable"
    ACCESS_DENIED = "AccessDenied"
    INCOMPLETE = "Incomplete"
    NO_INSTANCES_IN_TAG = "NoInstancesInTag"

    @property
    def status(self) -> str:
        """The coarse `Status` beside this detail."""
        return _STATUS.get(self, self.value)

    @property
    def is_final(self) -> bool:
        """Whether nothing follows any more."""
        return self not in _OPEN


_OPEN = {Detail.PENDING, Detail.DELAYED, Detail.IN_PROGRESS, Detail.CANCELLING}
_STATUS = {
    Detail.DELAYED: "Pending",
    Detail.EXECUTION_TIMED_OUT: "TimedOut",
    Detail.DELIVERY_TIMED_OUT: "TimedOut",
    Detail.TERMINATED: "Cancelled",
    Detail.UNDELIVERABLE: "Failed",
    Detail.ACCESS_DENIED: "Failed",
    Detail.INCOMPLETE: "Failed",
    Detail.NO_INSTANCES_IN_TAG: "Success",
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


def folded(details: Sequence[Detail], max_errors: int, *, cancelled: bool = False) -> Detail:
    """State of the command whose invocations are in these states."""
    if not details:
        return Detail.NO_INSTANCES_IN_TAG
    if not all(detail.is_final for detail in details):
        started = any(detail not in {Detail.PENDING, Detail.DELAYED} for detail in details)
        if cancelled:
            return Detail.CANCELLING
        return Detail.IN_PROGRESS if started else Detail.PENDING
    if cancelled and Detail.CANCELLED in details:
        return Detail.CANCELLED
    return _final(details, max_errors)


def _final(details: Sequence[Detail], max_errors: int) -> Detail:
    counting = [detail for detail in details if detail not in _IGNORED_UNLESS_ALONE]
    if not counting:
        return Detail.FAILED
    if all(detail is Detail.SUCCESS for detail in counting):
        return Detail.SUCCESS
    if sum(detail in COUNTED_ERRORS for detail in counting) >= max(max_errors, 1):
        return Detail.FAILED if Detail.FAILED in counting else Detail.EXECUTION_TIMED_OUT
    if counting.count(Detail.DELIVERY_TIMED_OUT) >= max(max_errors, 1):
        return Detail.DELIVERY_TIMED_OUT
    return Detail.INCOMPLETE
