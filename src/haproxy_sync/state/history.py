"""The history, bounded in entries and in bytes: it is in every state, and so in every answer of `status`."""

import json
from dataclasses import replace
from itertools import accumulate, takewhile

from haproxy_sync.state.codec import jsonable
from haproxy_sync.state.model import Change

MAX_ENTRIES = 50
# An answer of Lambda has 6 MB, and the state is read and put with every reconcile.
MAX_BYTES = 500_000
MIN_ENTRIES = 2  # what is published, and one to roll back to
MAX_NAMED = 100  # servers of one kind that an entry names


def extended(history: tuple[Change, ...], change: Change) -> tuple[Change, ...]:
    """With the newest entry; the oldest ones go where there are too many, or all together are too big."""
    return bounded((*history, change))


def bounded(history: tuple[Change, ...]) -> tuple[Change, ...]:
    """As it may be stored, whoever wrote it: an earlier release named every server of every entry."""
    newest_first = [*map(_shortened, reversed(history))][:MAX_ENTRIES]
    sizes = accumulate(map(_size, newest_first))
    fitting = len(list(takewhile(_fits, sizes)))
    return tuple(newest_first[: max(fitting, MIN_ENTRIES)][::-1])


def _shortened(change: Change) -> Change:
    """The entry that names some of the servers, and counts the others."""
    return replace(
        change,
        added=change.added[:MAX_NAMED],
        removed=change.removed[:MAX_NAMED],
        changed=change.changed[:MAX_NAMED],
        more_added=change.more_added + _more(change.added),
        more_removed=change.more_removed + _more(change.removed),
        more_changed=change.more_changed + _more(change.changed),
    )


def _more(servers: tuple[str, ...]) -> int:
    return max(0, len(servers) - MAX_NAMED)


def _size(change: Change) -> int:
    """Its bytes in the state."""
    return len(json.dumps(jsonable(change), separators=(",", ":")))


def _fits(size: int) -> bool:
    return size <= MAX_BYTES
