"""Words of HAProxy's configuration manual that say nothing of what stands behind them, so that anybody may see them.

A word that is not here may be anything, a secret that stands where a keyword should be included.

The function and the program on the hosts share this module, so it works with Python 3.8 and imports nothing of ours but
what they share, too.
"""

from __future__ import annotations

import re

from haproxy_sync.config.language import KEYWORDS, SERVER_KEYWORDS, words
from haproxy_sync.secrets import MASK

FIRST = KEYWORDS | SERVER_KEYWORDS | frozenset({
    # of global
    "51degrees-data-file", "busy-polling", "ca-base", "chroot", "close-spread-time", "cluster-secret", "cpu-map",
    "cpu-policy", "cpu-set", "crt-base", "daemon", "default-path", "description", "deviceatlas-json-file",
    "expose-experimental-directives", "external-check", "fd-hard-limit", "force-cfg-parser-pause", "gid", "grace",
    "group", "h1-accept-payload-with-any-method", "h1-case-adjust", "h1-case-adjust-file",
    "h2-workaround-bogus-websocket-clients",
    "hard-stop-after", "harden.reject-privileged-ports.quic", "harden.reject-privileged-ports.tcp", "hostname",
    "httpclient.resolvers.disabled", "httpclient.resolvers.id", "httpclient.resolvers.prefer", "httpclient.retries",
    "httpclient.ssl.ca-file", "httpclient.ssl.verify", "httpclient.timeout.connect", "insecure-fork-wanted",
    "insecure-setuid-wanted", "issuers-chain-path", "key-base", "limited-quic", "load-server-state-from-file",
    "localpeer", "log", "log-send-hostname", "log-tag", "lua-load", "lua-load-per-thread", "lua-prepend-path",
    "master-worker", "max-spread-checks", "maxcompcpuusage", "maxcomprate", "maxconn", "maxconnrate", "maxpipes",
    "maxsessrate", "maxsslconn", "maxsslrate", "maxzlibmem", "mworker-max-reloads", "nbproc", "nbthread", "no",
    "no-memory-trimming", "no-quic", "noepoll", "noevports", "nogetaddrinfo", "nokqueue", "nopoll", "noreuseport",
    "nosplice", "numa-cpu-mapping", "ocsp-update.disable", "ocsp-update.maxdelay", "ocsp-update.mindelay",
    "ocsp-update.mode", "pidfile", "pp2-never-send-local", "prealloc-fd", "presetenv", "profiling.memory",
    "profiling.tasks", "quiet", "resetenv", "server-state-base", "server-state-file", "set-dumpable", "set-var",
    "set-var-fmt", "setcap", "setenv", "shm-stats-file", "spread-checks", "ssl-default-bind-ciphers",
    "ssl-default-bind-ciphersuites", "ssl-default-bind-client-sigalgs", "ssl-default-bind-curves",
    "ssl-default-bind-options", "ssl-default-bind-sigalgs", "ssl-default-server-ciphers",
    "ssl-default-server-ciphersuites", "ssl-default-server-client-sigalgs", "ssl-default-server-curves",
    "ssl-default-server-options", "ssl-default-server-sigalgs", "ssl-dh-param-file", "ssl-engine",
    "ssl-load-extra-del-ext", "ssl-load-extra-files", "ssl-mode-async", "ssl-propquery", "ssl-provider",
    "ssl-provider-path", "ssl-security-level", "ssl-server-verify", "ssl-skip-self-issued-ca", "stats",
    "strict-limits", "thread-group", "thread-groups", "thread-hard-limit", "uid", "ulimit-n", "unix-bind", "unsetenv",
    "user", "warn-blocked-traffic-after", "wurfl-data-file", "zero-warning",
    # of proxies
    "acl", "backlog", "balance", "bind", "capture", "clitcpka-cnt", "clitcpka-idle", "clitcpka-intvl", "compression",
    "cookie", "declare", "default-server", "default_backend", "disabled", "dispatch", "dynamic-cookie-key",
    "email-alert", "enabled", "errorfile", "errorfiles", "errorloc", "errorloc302", "errorloc303", "error-log-format",
    "filter", "force-be-switch", "force-persist", "fullconn", "guid", "hash-balance-factor", "hash-preserve-affinity",
    "hash-type", "http-after-response", "http-check", "http-error", "http-request", "http-response", "http-reuse",
    "http-send-name-header", "id", "ignore-persist", "log-format", "log-format-sd", "log-steps",
    "max-keep-alive-queue", "max-session-srv-conns", "mode", "monitor", "monitor-uri", "option", "persist",
    "quic-initial", "rate-limit", "redirect", "redispatch", "retries", "retry-on",
    "source", "srvtcpka-cnt", "srvtcpka-idle", "srvtcpka-intvl", "stick", "stick-table", "tcp-check", "tcp-request",
    "tcp-response", "timeout", "transparent", "unique-id-format", "unique-id-header", "use-fcgi-app", "use-server",
    "use_backend",
    # of other sections
    "accepted_payload_size", "account-key", "accept-invalid-http-request", "challenge", "command", "contact",
    "crt", "curves", "default-bind", "directory", "docroot", "exclude", "format", "hold", "index", "keytype", "load",
    "log-stderr", "mailer", "map", "max-age", "max-object-size", "max-secondary-entries", "maxlen", "nameserver",
    "on", "parse-resolv-conf", "pass-header", "path-info", "peer", "process-vary", "resolve_retries", "sd", "set-param",
    "shards", "size", "start-on-reload", "table", "total-max-size", "trace", "dgram-bind", "env", "bits",
    # lines that are conditions
    ".alert", ".diag", ".elif", ".else", ".endif", ".if", ".notice", ".warning",
})  # fmt: skip
"""What a line begins with."""

# Of a server line (5.2). All but the flags take a value.
FLAGS = frozenset({
    "agent-check", "allow-0rtt", "backup", "check", "check-reuse-pool", "check-send-proxy", "check-ssl",
    "check-via-socks4", "disabled", "enabled", "force-sslv3", "force-tlsv10", "force-tlsv11", "force-tlsv12",
    "force-tlsv13", "no-agent-check", "no-backup", "no-check", "no-check-send-proxy", "no-check-ssl", "no-renegotiate",
    "no-send-proxy", "no-send-proxy-v2", "no-send-proxy-v2-ssl", "no-send-proxy-v2-ssl-cn", "no-ssl", "no-ssl-reuse",
    "no-sslv3", "no-strict-maxconn", "no-tfo", "no-tls-tickets", "no-tlsv10", "no-tlsv11", "no-tlsv12", "no-tlsv13",
    "no-verifyhost", "non-stick", "renegotiate", "send-proxy", "send-proxy-v2", "send-proxy-v2-ssl",
    "send-proxy-v2-ssl-cn", "ssl", "ssl-reuse", "stick", "strict-maxconn", "tfo", "tls-tickets",
})  # fmt: skip
"""Options that stand alone."""

TYPED = frozenset({
    "agent-inter", "agent-port", "check-proto", "downinter", "error-limit", "fall", "fastinter", "id", "idle-ping",
    "init-state", "inter", "log-bufsize", "max-reuse", "maxconn", "maxqueue", "minconn", "observe", "on-error",
    "on-marked-down", "on-marked-up", "pool-low-conn", "pool-max-conn", "pool-purge-delay", "port", "proto",
    "resolve-prefer", "rise", "shard", "slowstart", "ssl-max-ver", "ssl-min-ver", "tcp-ut", "verify", "weight", "ws",
})  # fmt: skip
"""Options that take a number, a time or one of few words, and so no secret."""

OTHER = frozenset({
    "addr", "agent-addr", "agent-send", "alpn", "ca-file", "check-alpn", "check-pool-conn-name", "check-sni",
    "ciphers", "ciphersuites", "client-sigalgs", "cookie", "crl-file", "crt", "curves", "force-tlsv1.3", "guid",
    "hash-key", "init-addr", "interface", "namespace", "npn", "password", "pool-conn-name", "proxy-v2-options",
    "redir", "resolve-net", "resolve-opts", "resolvers", "set-proxy-v2-tlv-fmt", "sigalgs", "sni", "sni-auto",
    "socks4", "source", "track", "usesrc", "verifyhost",
})  # fmt: skip
"""Options that take text."""

OPTIONS = FLAGS | TYPED | OTHER

COMMON = FIRST | OPTIONS | frozenset({
    "admin", "any", "client", "connect", "content", "dontlognull", "false", "first", "forwardfor", "global", "health",
    "http", "http-keep-alive", "http-server-close", "httpchk", "httpclose", "httplog", "https", "layer4", "layer7",
    "leastconn", "local", "localhost", "none", "null", "path", "queue", "random", "redirect", "roundrobin", "static-rr",
    "stdout", "tcplog", "true", "tunnel", "unlimited",
})  # fmt: skip
"""Words that stand in any config, whatever a variable of the same value is used for."""

_PLAIN = re.compile(
    r"""
    -? [0-9]{1,12} (?: us | ms | [smhdkKMG%] )?
    | auto | down | fail-check | fastinter | fcgi | fully-down | fully-up | h1 | h2 | ipv4 | ipv6 | layer4 | layer7
    | mark-down | none | optional | required | shutdown-backup-sessions | shutdown-sessions | sudden-death | up
    | SSLv3 | TLSv1\.[0-3]
    """,
    re.VERBOSE,
)


def is_plain(option: str, value: str) -> bool:
    """Whether the option takes no secret, and has a value that is none."""
    return option in TYPED and _PLAIN.fullmatch(value) is not None


def hidden(line: str) -> str:
    """The line without what stands behind its keyword, and without that where it is none of HAProxy's."""
    indent = line[: len(line) - len(line.lstrip())]
    keyword = next(iter(words(line)), "")
    shown = f"{keyword} {MASK}" if keyword in FIRST else MASK
    return f"{indent}{shown}" if line.strip() else line
