"""What a publication changes in the configs themselves: for a plan in full, for history and log in bounded lines."""

from collections.abc import Mapping
from typing import Any

from haproxy_sync.config.diff import ConfigDiff, semantic_diff
from haproxy_sync.fleet.model import Config
from haproxy_sync.settings import Settings
from haproxy_sync.state import store
from haproxy_sync.state.model import Assignment, Digest, EnvironmentState

MAX_LINES = 40  # of one history entry; fifty of them are in every state
MAX_LENGTH = 160


def moves(before: EnvironmentState, after: EnvironmentState) -> Mapping[tuple[Digest | None, Digest | None], list[str]]:
    """Old and new config, and the proxies that go from one to the other; one pair also where there is no proxy yet."""
    old, new = (state.publication.assignment if state.publication else Assignment() for state in (before, after))
    if not after.proxies:
        return {(old.shared, new.shared): []}
    pairs: dict[tuple[Digest | None, Digest | None], list[str]] = {}
    for proxy in after.proxies:
        pairs.setdefault((old[proxy.instance_id], new[proxy.instance_id]), []).append(proxy.instance_id)
    return {(was, now): proxies for (was, now), proxies in pairs.items() if was != now}


def differences(
    s3: Any, settings: Settings, before: EnvironmentState, after: EnvironmentState, configs: tuple[Config, ...]
) -> list[tuple[list[str], ConfigDiff]]:
    """Each distinct change and the proxies it is for; a config that is not among `configs` is read from the bucket."""
    texts = {Digest.of(config): config.text for config in configs}
    backends = (*(before.backends or ()), *(after.backends or ()))

    def text(digest: Digest | None) -> str:
        if digest is None:
            return ""
        if digest not in texts:
            texts[digest] = store.get_config(s3, settings.bucket, settings.environment, digest.sha256) or ""
        return texts[digest]

    return [
        (proxies, semantic_diff(text(was), text(now), backends)) for (was, now), proxies in moves(before, after).items()
    ]


def in_lines(diffs: list[tuple[list[str], ConfigDiff]]) -> tuple[str, ...]:
    """The changes as lines, each once: proxies whose configs differ mostly change alike."""
    lines = list(dict.fromkeys(line[:MAX_LENGTH] for _, diff in diffs for line in diff.lines()))
    more = len(lines) - MAX_LINES
    return (*lines[:MAX_LINES], f"... and {more} lines more") if more > 0 else tuple(lines)
