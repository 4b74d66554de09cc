"""The bundled template on a real HAProxy: who serves while servers drain, die and are taken out."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from haproxy_sync.config import sources
from haproxy_sync.config.render import render_fleet
from haproxy_sync.config.sources import TemplateSet
from haproxy_sync.fleet import inventory
from haproxy_sync.settings import Settings
from local.lab import BackendHost, Client, Network, ProxyHost, Style, self_signed
from tests.fleet import instance

TEMPLATES = TemplateSet(
    sources.MAIN, sources.read_folder(sources.PACKAGE / "templates")
)
SITE = "www.example.test"
NEAR, FAR = "ap-southeast-2a", "ap-southeast-2b"
DRAIN, BACKUP = {"haproxy:drain": "true"}, {"haproxy:backup": "true"}
GOING = {"going": "true"}
"""No tag of ours: its machine is shutting down (`maint`)."""
NOBODY = "-"
REQUESTS = 8
"""New clients that nobody else may serve."""
MORE_REQUESTS = 60
"""So many at most until each has served who should."""

# Tags and zones (n: the proxy's own) of the three; then, for what becomes of each at run time, who serves.
# Up, down, in maintenance, or (-) as the file says; `-` is a 503.
POOLS: Mapping[str, tuple[Sequence[Mapping[str, str]], str, Mapping[str, str]]] = {
    "two-drain": (
        (DRAIN, DRAIN, {}),
        "nnn",
        {
            "uuu": "3",
            "uud": "12",
            "uum": "12",
            "dud": "2",
            "mud": "2",
            "ddd": NOBODY,
            "mmm": NOBODY,
            "ddu": "3",
        },
    ),
    "all-drain": (
        (DRAIN, DRAIN, DRAIN),
        "nnn",
        {"uuu": "123", "udu": "13", "muu": "23", "udm": "1", "dum": "2", "dmu": "3"},
    ),
    "a-backup": (
        (DRAIN, {}, BACKUP),
        "nnn",
        {"uuu": "2", "udu": "3", "umu": "3", "udd": "1", "mdd": NOBODY},
    ),
    "a-backup-drains": (
        (DRAIN, {}, DRAIN | BACKUP),
        "nnn",
        {"uuu": "2", "udu": "13", "mdu": "3"},
    ),
    "zones": (
        (DRAIN, {}, {}),
        "nnf",
        {"uuu": "2", "udu": "3", "udd": "1", "umm": "1", "mdd": NOBODY, "ddu": "3"},
    ),
    "both-zones-drain": (
        (DRAIN, DRAIN, DRAIN),
        "nff",
        {"uuu": "123", "duu": "23", "mum": "2"},
    ),
    "three-tiers": (
        (DRAIN, {}, {}),
        "fnf",
        {"uuu": "2", "udu": "3", "umu": "3", "udd": "1", "umm": "1", "mdd": NOBODY},
    ),
    "a-backup-of-another-zone": (
        (DRAIN, {}, BACKUP),
        "nnf",
        {"uuu": "2", "udu": "3", "udd": "1", "mmm": NOBODY},
    ),
    "one-goes": (
        (GOING, {}, DRAIN),
        "nnn",
        {"-uu": "2", "-du": "3", "-dd": NOBODY, "-mm": NOBODY},
    ),
    "one-goes-in-the-near-zone": (
        (GOING, {}, {}),
        "nff",
        {"-uu": "23", "-du": "3", "-dd": NOBODY},
    ),
    "one-goes-and-drains": (
        (GOING | DRAIN, DRAIN, {}),
        "nnn",
        {"-uu": "3", "-ud": "2", "-dd": NOBODY, "-mm": NOBODY},
    ),
}

type Run = Callable[..., ProxyHost]


@pytest.fixture
def run(
    backends: tuple[BackendHost, ...],
    make_proxy: Callable[..., ProxyHost],
    haproxy: dict[str, Any],
) -> Run:
    """A proxy with the config of these three."""

    def made(tags: Sequence[Mapping[str, str]], zones: str, **more: Any) -> ProxyHost:
        proxy = make_proxy(Style.DAEMON, **haproxy)
        proxy.write("/etc/haproxy/site.pem", self_signed(SITE))
        proxy.path("/var/lib/haproxy-ec2-sync").mkdir()
        version = re.search(r"version (\d+\.\d+)", proxy.run(["haproxy", "-v"]).stdout)
        assert version
        certificate = "/etc/haproxy/site.pem"
        names = {"haproxy_version": version[1], "certificates": certificate, **more}
        proxy.start(bundled(backends, tags, zones, names))
        return proxy

    return made


@pytest.fixture(scope="module")
def client(network: Network) -> Client:
    """A machine beside the proxies."""
    return Client(network, "near-client")


_COMMANDS = {
    "u": "set server {0} state ready; set server {0} health up",
    "d": "set server {0} state ready; set server {0} health down",
    "m": "set server {0} state maint; set server {0} health up",
    "-": "set server {0} health up",
}
"""What passed and failed checks lead to; an operator's maintenance, and that of the file, in which a check is good."""


def _happens(proxy: ProxyHost, events: str) -> None:
    for number, event in enumerate(events, 1):
        server = f"application/app-{number}"
        proxy.ask(f"disable health {server}")
        proxy.ask(_COMMANDS[event].format(server))


def bundled(
    hosts: tuple[BackendHost, ...],
    tags: Sequence[Mapping[str, str]],
    zones: str,
    variables: Mapping[str, Any],
) -> str:
    """The config that the template makes of these, with their tags, in these zones."""
    stack = Settings(
        "staging",
        "ap-southeast-2",
        "bucket",
        "https://queue",
        "document",
        "stack",
        zone_aware="f" in zones,
    )
    near = {"AvailabilityZone": NEAR}
    fleet = [
        instance(
            number,
            tags=dict(own),
            PrivateIpAddress=str(host.ipv4),
            PrivateDnsName=f"{host.name}.ap-southeast-2.compute.internal",
            Placement={"AvailabilityZone": NEAR if zone == "n" else FAR},
        )
        for number, (host, own, zone) in enumerate(
            zip(hosts, tags, zones, strict=True), 1
        )
    ]
    fleet.append(instance(20, "haproxy", Placement=near))
    found = inventory.parse(fleet, stack)
    pool = tuple(replace(b, maint="going" in b.tags) for b in found.backends)
    rendering = render_fleet(TEMPLATES, variables, replace(found, backends=pool), stack)
    return rendering.configs[0].text


def _served(
    client: Client, proxy: ProxyHost, expected: str, cookie: str = ""
) -> set[str]:
    """Who served so many clients, and more until each of the expected has."""
    headers = {"Cookie": cookie} if cookie else {}
    served: set[str] = set()
    for number in range(MORE_REQUESTS):
        if number >= REQUESTS and served >= set(expected):
            break
        answer = client.get(
            str(proxy.ipv4), port=443, server_name=SITE, headers=headers
        )
        assert answer.status in {200, 503}
        served.add(answer.headers.get("x-backend", NOBODY).removeprefix("app-"))
    return served


@pytest.mark.fault("F219")
@pytest.mark.parametrize(
    "more", [{}, {"sticky_cookie": "SRV"}], ids=["plain", "sticky"]
)
@pytest.mark.parametrize("pool", POOLS)
def test_who_serves(client: Client, run: Run, pool: str, more: dict[str, str]) -> None:
    """New clients get those that neither drain nor are down, then backups and other zones, then who drains.

    Nobody gets one that an operator took out, nor one that drains once somebody else is back.
    """
    tags, zones, states = POOLS[pool]
    proxy = run(tags, zones, **more)
    found = {}
    for events, expected in states.items():
        _happens(proxy, events)
        found[events] = _served(client, proxy, expected)
    assert found == {events: set(states[events]) for events in states}


@pytest.mark.fault("F219")
def test_who_drains_keeps_its_sessions(client: Client, run: Run) -> None:
    """A client with the cookie of one that drains gets that one, whether or not there is anybody else."""
    proxy = run((DRAIN, DRAIN, {}), "nnn", sticky_cookie="SRV")
    for events in ("uuu", "uud"):
        _happens(proxy, events)
        for own in ("1", "2"):
            assert _served(client, proxy, own, f"SRV=app-{own}") == {own}


TAGS: tuple[Mapping[str, str], ...] = (
    {},
    DRAIN,
    BACKUP,
    DRAIN | BACKUP,
    GOING,
    GOING | DRAIN,
)


def _pools() -> st.SearchStrategy[tuple[list[Mapping[str, str]], str, list[str]]]:
    """Tags, zones, and what becomes of the three at run time, a few times."""
    return st.tuples(
        st.lists(st.sampled_from(TAGS), min_size=3, max_size=3),
        st.text("nf", min_size=3, max_size=3),
        st.lists(st.text("udm", min_size=3, max_size=3), min_size=1, max_size=4),
    )


@pytest.mark.fault("F263")
@given(pool=_pools())
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_whoever_may_serve_does(
    client: Client,
    run: Run,
    pool: tuple[list[Mapping[str, str]], str, list[str]],
) -> None:
    """Whatever the pool is: where one is up, draining or not, and nobody took it out, each client gets an answer."""
    tags, zones, every = pool
    proxy = run(tags, zones)
    try:
        for events in every:
            # What the file disables, nobody brings back here.
            now = "".join(
                "-" if "going" in own else event
                for own, event in zip(tags, events, strict=True)
            )
            _happens(proxy, now)
            able = {str(number) for number, each in enumerate(now, 1) if each == "u"}
            served = _served(client, proxy, "")
            assert served <= able if able else served == {NOBODY}, (now, served)
    finally:
        proxy.close()
