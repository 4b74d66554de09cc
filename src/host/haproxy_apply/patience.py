"""How long a load of the config is waited for. A load takes what `haproxy -c` took a moment before, or about that."""

from __future__ import annotations

import os
import time

from haproxy_apply import durable

LEAST_SECONDS = 15
"""For a load; 2.1 s of it go to HAProxy's own bind retries."""
RUN_SECONDS = 165
"""What a run may take: the step of the document less a moment for Python, for the agent, and for what has no limit."""
RELOAD_SECONDS = 5
"""What a reload takes beside its load: most of it is the watch."""

_MORE_SECONDS = 5
_START = (
    19  # field of /proc/<pid>/stat after the name, counted from the state (proc(5))
)


def left() -> float:
    """Until the run has to be over. It began with its process, also where it waited for the lock."""
    fields = durable.read_text("/proc/self/stat").rpartition(") ")[2].split()
    began = int(fields[_START]) / os.sysconf("SC_CLK_TCK")
    return RUN_SECONDS - (time.clock_gettime(time.CLOCK_BOOTTIME) - began)


def for_load(checked: float, left: float) -> float:
    """How long to wait for a load whose check took so long: a rollback takes as long once more."""
    wanted = max(LEAST_SECONDS, 2 * checked + _MORE_SECONDS)
    return max(LEAST_SECONDS, min(wanted, left / 2 - RELOAD_SECONDS))


def for_last_load(left: float) -> float:
    """How long to wait where nothing comes behind it, as in a rollback."""
    return max(LEAST_SECONDS, left - RELOAD_SECONDS)


def before_rollback(checked: float, left: float) -> float:
    """How long may be waited, so that a rollback fits behind it: the old file loads as the new one does."""
    return left - RELOAD_SECONDS - max(LEAST_SECONDS, checked)


def is_enough(checked: float, left: float) -> bool:
    """Whether a load that takes as long as its check did, and one of the old file, fit into what is left."""
    return max(LEAST_SECONDS, checked) <= left / 2 - RELOAD_SECONDS
