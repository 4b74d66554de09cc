"""What is not wrong with a config and has a price, each in one line with what to do."""

import re
from collections.abc import Iterator, Mapping

from haproxy_sync.config import close_spread
from haproxy_sync.settings import Settings

DRAIN_SECONDS: float = Settings.variables()["drain_seconds"].read({})
"""The default of the parameter DrainSeconds."""

PRICES: Mapping[str, tuple[str, str]] = {
    "hard-stop-after": (
        r"^\s*hard-stop-after\s",
        "each reload leaves a process as long as its longest connection lives: one more per reload, without a limit",
    ),
    "close-spread-time": (
        r"^\s*close-spread-time\s",
        "a reload closes all idle keep-alive connections at once; a request that is just on its way then fails",
    ),
    "stats socket": (
        r"^\s*stats\s+socket\s",
        "nothing can save the state of the servers or prove what runs, and the runtime method is not available",
    ),
    "slowstart": (
        r"^\s*(default-)?server\s.*\sslowstart\s",
        "a new backend has its whole share at once; add `slowstart {{ slow_start_seconds }}s` to the server lines",
    ),
}
"""By what is absent: how its line looks, and what its absence costs."""

CHECKS: Mapping[str, str] = {
    "`server-state-file /var/lib/haproxy-ec2-sync/server-state` to `global`": r"^\s*server-state-file\s",
    "`load-server-state-from-file global` to `defaults`": r"^\s*load-server-state-from-file\s",
    "`check` to the server lines": r"^\s*(default-)?server\s.*\scheck(\s|$)",
}
"""What HAProxy needs so that no server gets traffic before a good check, also after a reload; and how it looks."""

HIDDEN_DRAINS = (
    "the template does not show who drains: such a backend is left out of the config while another one remains, so"
    " nobody with its cookie reaches it; for `b` of `backends` add"
    " `{% if b.drain and backends | rejectattr('drain') | list %}weight 0{% endif %}` to the server lines"
)


def prices(text: str, drain_seconds: float) -> Iterator[str]:
    """What this config costs, for a drain that may take so many seconds."""
    for name, (pattern, price) in PRICES.items():
        if not _has(text, pattern):
            yield f"no {name}: {price}"
    if missing := [what for what, pattern in CHECKS.items() if not _has(text, pattern)]:
        yield (
            "a reload gives traffic to servers before a good check, to new ones and to those known to be down:"
            f" add {', '.join(missing)}"
        )
    if problem := close_spread.problem(text, drain_seconds):
        yield problem


def _has(text: str, pattern: str) -> bool:
    return re.search(pattern, text, re.MULTILINE) is not None
