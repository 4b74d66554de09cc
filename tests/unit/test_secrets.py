"""Nobody who is shown what changes is shown a secret."""

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haproxy_sync.config.diff import CHANGED, semantic_diff
from haproxy_sync.secrets import MASK, masked

PLACES = (
    "stats auth admin:{}",
    "stats  auth\tadmin:{} ",
    'stats auth "admin:{}"',
    '"stats" "auth" admin:{}',
    "user bob password {} groups g",
    "user bob insecure-password {}",
    "user bob insecure-password '{}'",
    'user bob insecure-password "a b {}"',
    "user bob insecure-password a\\ b\\ {}",
    'user bob insecure-password "never closed {}',
    "# user bob insecure-password {}",
    "#stats auth admin:{}",
    "# don't use stats auth admin:{}",
    "maxconn 5 # it's stats auth admin:{}",
    "http-request set-header Authorization {} if a",
    'http-request set-header authorization "Basic {}"',
    "http-request set-header Authorization Basic\\ {}",
    "http-request add-header X-Api-Token {}",
    "http-request set-header X-Vault-Token-Id {} unless b",
    "http-request replace-header Proxy-Authorization (.*) {}",
    "http-request return status 200 hdr X-Secret {}",
    "http-check send meth GET uri / hdr Authorization {} body x",
    "option httpchk GET / HTTP/1.1\\r\\nHost:\\ a\\r\\nAuthorization:\\ Basic\\ {}",
    'option httpchk GET / "HTTP/1.1\\r\\nX-Api-Key: {}"',
    'http-request set-header X-Upstream "Bearer {}"',
    "acl known req.hdr(Authorization) -m str {}",
    "acl known req.hdr(Authorization),word(2,' ') -m str {}",
    "use_backend b if {{ req.hdr(X-Token) {} }}",
    'http-request deny unless {{ var(txn.t),jwt_verify(HS256,"{}") 1 }}',
    "http-request set-var(txn.api_token) str({})",
    "setenv API_TOKEN {}",
    "presetenv DB_PASSWORD {}",
    "cluster-secret {}",
    "dynamic-cookie-key {}",
    "httpclient.proxy http://user:{}@proxy.internal",
    "http-request set-header X-Auth {}",
    "setenv REDIS_AUTH {}",
    "setenv DB_PASS {}",
    "setenv DB_PWD {}",
    "setenv COOKIE_SIGNING_KEY {}",
    "set-var proc.token str({})",
    "set-var-fmt proc.token {}",
    "http-request set-var-fmt(txn.token) {}",
    "http-request deny unless {{ url_param(token) -m str {} }}",
    "http-request deny unless {{ urlp(api_key) {} }}",
    "http-request deny unless {{ var(txn.token) -m str {} }}",
    "http-request deny if !{{ req.cook(token) {} }}",
    "http-request deny if {{ ! req.hdr(x-token),lower {} }}",
    "http-request set-query token={}&a=%[query]",
    "lua-load /etc/haproxy/a.lua token={}",
    "command /usr/bin/agent --password {}",
    "command /usr/bin/agent --password={} -v",
    "tcp-check send AUTH\\ {}\\r\\n",
    'tcp-check send "AUTH {}\\r\\n"',
    '# tcp-check send "AUTH {}\\r\\n"',
    "# password: {}",
)
"""Lines with room for a secret, most of them as HAProxy's configuration manual has them."""

# Long enough that it is no part of anything else, and of letters that need no quotes.
SECRETS = st.text(string.ascii_letters + string.digits + "+/=.$", min_size=12)


def config(line: str) -> str:
    """One with the line in it."""
    return f"global\n    maxconn 9\ndefaults\n    {line}\n    mode http\nbackend b\n    server a 10.0.0.1:80\n"


@pytest.mark.fault("F151")
@pytest.mark.parametrize("place", PLACES)
@given(secret=SECRETS, other=SECRETS)
def test_a_secret_is_in_no_diff(place: str, secret: str, other: str) -> None:
    """Whether it comes, goes, changes or stands beside what changes; another one is seen as a change."""
    with_secret = config(place.format(secret))
    without = config("retries 3")
    beside = with_secret.replace("maxconn 9", "maxconn 10").replace("http", "tcp")
    another = config(place.format(other))
    sides = [
        ("", with_secret),
        (without, with_secret),
        (with_secret, without),
        (with_secret, beside),
        (with_secret, another),
    ]
    for old, new in sides:
        diff = semantic_diff(old, new)
        shown = json.dumps(diff.as_json(99)) + "\n".join(diff.lines())
        assert secret not in shown
        assert other not in shown
        assert bool(diff) == (old != new)
    lines = semantic_diff(with_secret, another).other
    marked = [line for line in lines if line.endswith(CHANGED)]
    assert [line[0] for line in marked] == ["+"] * (secret != other)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("stats auth admin:pw", "stats auth ***"),
        ("user bob password $6$x groups g", "user bob password *** groups g"),
        ("  user b insecure-password x # y", "  user b insecure-password *** # y"),
        (
            "http-request set-header Authorization %[var(txn.t)] if a",
            "http-request set-header Authorization *** if a",
        ),
        ("setenv API_TOKEN a b", "setenv API_TOKEN *** ***"),
        ("x http://u:p@h/ y", "x http://u:***@h/ y"),
        (
            "http-request set-query token=a&b=%[query]",
            "http-request set-query token=***&b=%[query]",
        ),
    ],
)
@pytest.mark.fault("F151")
def test_what_stands_around_it_is_shown(line: str, shown: str) -> None:
    """The keyword and what follows the value."""
    assert masked(line) == shown


@pytest.mark.parametrize(
    "line",
    [
        "bind :443 ssl crt /etc/haproxy/certs/site.pem alpn h2",
        "server a 10.0.0.1:443 ssl ca-file /etc/ssl/ca.pem crt /etc/ssl/a.pem",
        "tls-ticket-keys /etc/haproxy/ticket.keys",
        "http-request auth realm Members if !ok",
        "use_backend auth if { path_beg /auth }",
        "backend auth",
        "acl ok http_auth(admins)",
        "http-request del-header Authorization",
        "http-request set-header X-Forwarded-Proto https",
        'http-request set-header Host "a b" # don\'t',
        'log-format "%ci:%cp [%t] %ft"',
        "bind token-service:8080",
        "server a http://10.0.0.1:80",
        "\ttimeout client 1h",
        "stats auth",
        "acl auth src 10.0.0.0/8",
        "http-request deny if auth !admin",
        "http-request set-header X-Author-Id 7",
        "use_backend b if { hdr(x-token) } !{ src 10.0.0.1 }",
        "stick on req.hdr(Authorization) table t",
        "http-request track-sc0 req.hdr(x-api-key) table t",
        "http-request capture req.hdr(Authorization) len 128",
        "command /usr/bin/agent --token-file /run/agent/token",
        "",
    ],
)
def test_all_else_is_shown_as_it_is(line: str) -> None:
    """A path is no secret, nor is what merely sounds like one."""
    assert masked(line) == line


@pytest.mark.fault("F151")
def test_a_secret_of_a_server() -> None:
    """In the words that servers are compared by."""
    old = "backend b\n  server a 10.0.0.1:80 weight 1 password s3cr3t-1\n"
    new = "backend b\n  server a 10.0.0.1:80 weight 2 password s3cr3t-2\n"
    (change,) = semantic_diff(old, new).changed
    assert change.words() == "password *** -> *** (changed), weight 1 -> 2"
    (added,) = semantic_diff("", new).added
    assert added.after["password"] == MASK
    (kept,) = semantic_diff(old, old.replace("weight 1", "weight 3")).changed
    assert kept.words() == "weight 1 -> 3"


def test_what_a_server_does_with_a_header_hides_nothing() -> None:
    """Weights behind it are what an operator looks for."""
    old = "backend b\n  server a 10.0.0.1:80 ssl sni req.hdr(x-token) weight 1 check\n"
    (change,) = semantic_diff(old, old.replace("weight 1", "weight 2")).changed
    assert change.words() == "weight 1 -> 2"


def test_a_secret_that_only_moved_has_not_changed() -> None:
    """It is there before and after."""
    old = "defaults\n  stats auth a:x\n  mode http\n  retries 3\n  maxconn 1\n  backlog 2\n"
    new = "defaults\n  mode http\n  retries 3\n  maxconn 1\n  backlog 2\n  stats auth a:x\n"
    assert not any("changed" in line for line in semantic_diff(old, new).other)


@pytest.mark.parametrize(
    "part",
    ["password ", "token", "token-", "a://b:", "hdr(", "{ hdr(token ", "\\", '"'],
)
def test_a_line_of_any_length_is_read(part: str) -> None:
    """A comment may be long; this ends in a second, or not within minutes."""
    line = "# " + part * 20_000
    assert masked(line).startswith("# ")


@given(st.text(max_size=200))
def test_no_line_is_too_strange(line: str) -> None:
    """Nothing but secrets is lost of any text, and reading it ends."""
    shown = masked(line)
    if "***" not in shown:
        assert shown == line
