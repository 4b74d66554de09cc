"""Which words of a server's line are keywords, and which are values: a cookie may be named `check`.

By HAProxy's configuration manual, `server` and `default-server`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_ALONE = frozenset({
    "agent-check", "allow-0rtt", "backup", "check", "check-reuse-pool", "check-send-proxy", "check-ssl",
    "check-via-socks4", "disabled", "enabled", "force-sslv3", "force-tlsv10", "force-tlsv11", "force-tlsv12",
    "force-tlsv13", "no-agent-check", "no-backup", "no-check", "no-check-reuse-pool", "no-check-send-proxy",
    "no-check-ssl", "no-renegotiate", "no-send-proxy", "no-send-proxy-v2", "no-send-proxy-v2-ssl",
    "no-send-proxy-v2-ssl-cn", "no-ssl", "no-ssl-reuse", "no-sslv3", "no-tls-tickets", "no-tlsv10", "no-tlsv11",
    "no-tlsv12", "no-tlsv13", "no-verifyhost", "non-stick", "renegotiate", "send-proxy", "send-proxy-v2",
    "send-proxy-v2-ssl", "send-proxy-v2-ssl-cn", "ssl", "ssl-reuse", "stick", "strict-maxconn", "tfo", "no-tfo",
    "tls-tickets",
})  # fmt: skip
_WITH_VALUE = frozenset({
    "addr", "agent-addr", "agent-inter", "agent-port", "agent-send", "alpn", "ca-file", "cc", "check-alpn",
    "check-pool-conn-name", "check-proto", "check-sni", "ciphers", "ciphersuites", "client-sigalgs", "cookie",
    "crl-file", "crt", "curves", "downinter", "error-limit", "fall", "fastinter", "guid", "hash-key", "id",
    "idle-ping", "init-addr", "init-state", "inter", "interface", "log-bufsize", "log-proto", "max-reuse", "maxconn",
    "maxqueue", "minconn", "namespace", "npn", "observe", "on-error", "on-marked-down", "on-marked-up",
    "pool-conn-name", "pool-low-conn", "pool-max-conn", "pool-purge-delay", "port", "proto", "proxy-v2-options",
    "redir", "resolve-net", "resolve-opts", "resolve-prefer", "resolvers", "rise", "set-proxy-v2-tlv-fmt", "shard",
    "sigalgs", "slowstart", "sni", "socks4", "source", "ssl-max-ver", "ssl-min-ver", "tcp-md5sig", "tcp-ut", "track",
    "usesrc", "verify", "verifyhost", "weight", "ws",
})  # fmt: skip
KNOWN = _ALONE | _WITH_VALUE


def keywords(words: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each keyword with its value, which is empty where it has none; one that is not known stands alone."""
    rest = iter(words)
    for word in rest:
        has_value = word.partition("(")[0] in _WITH_VALUE
        yield word, next(rest, "") if has_value else ""
