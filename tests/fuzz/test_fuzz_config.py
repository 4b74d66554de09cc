"""Whatever EC2 shows, HAProxy reads exactly the servers that were meant, and no template is made of data."""

import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from haproxy_sync.config.facts import is_allowed
from haproxy_sync.config.language import servers
from haproxy_sync.config.render import Rendering, render_fleet
from haproxy_sync.config.sources import TemplateSet, deployed
from haproxy_sync.fleet import inventory
from haproxy_sync.fleet.model import Fleet
from haproxy_sync.settings import Settings
from local.haproxy_check import check
from local.stand_ins import StandIns
from tests.fleet import instance
from tests.fuzz.budget import fuzzed
from tests.fuzz.odd import TEXTS

pytestmark = pytest.mark.usefixtures("rendered_here")

SETTINGS = Settings(
    "staging", "ap-southeast-2", "bucket", "https://queue", "document", "stack"
)
BUNDLED = TemplateSet("haproxy.cfg.j2", deployed())
# Where texts of EC2 stand: comments, descriptions, quoted and bare words, names of ACLs, and filters in between.
TEMPLATE = """global
    stats socket {{ folder }}/stats level admin
defaults
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
listen app
    bind unix@{{ folder }}/app
{% for b in backends %}
    # {{ b.tags.Name }} {{ b.zone }} {{ b.tags.values() | join(' ') }}
    acl from_{{ b.name }} hdr(x-host) -m str "{{ b.private_dns_name }}"
    http-response set-header X-Name "name {{ b.tags.Name }}" if from_{{ b.name }}
    server {{ b.name }} {{ b.address | ipwrap }}:{{ b.port }}{{ ' weight %d' % b.weight if b.weight is not none }}
{% endfor %}
backend last
    # {{ backends | map(attribute='tags.Name') | join(', ') }}
"""
FILES = TemplateSet("t.j2", {"t.j2": TEMPLATE})
ADDRESSES = st.ip_addresses().map(str) | TEXTS
FIELDS = {
    "InstanceId": TEXTS,
    "PrivateIpAddress": ADDRESSES,
    "PrivateDnsName": TEXTS | TEXTS.map("ip-10-0-0-1{}".format),
    "LaunchTime": st.just("2026-11-22T03:04:05+00:00"),
    "VpcId": TEXTS,
    "Placement": st.builds(lambda zone: {"AvailabilityZone": zone}, TEXTS),
    "NetworkInterfaces": st.lists(
        st.builds(lambda address: {"PrivateIpAddress": address}, ADDRESSES), max_size=2
    ),
}
TAGS = st.dictionaries(
    st.sampled_from(
        ["Name", "haproxy:port", "haproxy:weight", "haproxy:backup", "haproxy:drain"]
    )
    | TEXTS.filter(lambda key: key not in {"Type", "Environment"}),
    TEXTS | st.sampled_from(["80", "0", "7", "true", "65536", "257"]),
    max_size=3,
)


@st.composite
def instances(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Some backends, the last of which is as it should be; the others have something odd."""
    found = [instance(90, tags={"Name": "plain"}), instance(91, "haproxy")]
    for number in range(1, draw(st.integers(1, 4)) + 1):
        tags = {"Name": f"name {number}"} | draw(TAGS)
        odd = draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=2))
        changes = {name: draw(FIELDS[name]) for name in odd}
        found.append(instance(number, tags=tags, **changes))
    return found


@contextmanager
def running(text: str, folder: Path) -> Iterator[Path]:
    """HAProxy itself, with this config; gives its stats socket."""
    config, path = folder / "haproxy.cfg", folder / "stats"
    config.write_text(text, encoding="utf-8")
    with subprocess.Popen(
        ["haproxy", "-db", "-f", config], stderr=subprocess.PIPE
    ) as process:
        try:
            deadline = time.monotonic() + 60
            while not path.exists():
                assert process.poll() is None, (text, process.communicate())
                assert time.monotonic() < deadline
                time.sleep(0.005)
            yield path
        finally:
            process.kill()


def asked(path: Path, question: str) -> list[list[str]]:
    """The lines of an answer, in words."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(f"{question}\n".encode())
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    return [line.split() for line in answer.decode().splitlines() if line]


def rendered(fleet: Fleet, folder: str) -> tuple[Rendering, str]:
    """The config for the hostile template, and who is in it by the rendering's own word."""
    rendering = render_fleet(FILES, {"folder": folder}, fleet, SETTINGS)
    return rendering, rendering.configs[0].text


@pytest.mark.fault("F25")
@fuzzed(300, raw=instances())
def test_haproxy_has_exactly_the_servers_that_were_meant(
    raw: list[dict[str, Any]],
) -> None:
    """An instance is left out, or its server is there with its address, and nothing else is."""
    fleet = inventory.parse(raw, SETTINGS)
    with tempfile.TemporaryDirectory() as folder:
        rendering, text = rendered(fleet, folder)
        kept = fleet.without(rendering.untold_ids).backends
        with running(text, Path(folder)) as path:
            states = asked(path, "show servers state")
            sections = {line[0].split(",")[0] for line in asked(path, "show stat")}
    found = sorted(
        (line[3], line[4], line[18]) for line in states[2:] if line[1] == "app"
    )
    assert found == sorted((each.name, each.address, str(each.port)) for each in kept)
    assert all(line[1] == "app" for line in states[2:])
    assert sections - {"#"} == {"app", "last"}
    assert any(each.instance_id == instance(90)["InstanceId"] for each in kept)


@pytest.mark.fault("F25")
@fuzzed(200, raw=instances())
def test_haproxy_takes_the_bundled_template_of_any_fleet(
    raw: list[dict[str, Any]],
) -> None:
    """With one server line for each backend that was kept."""
    fleet = inventory.parse(raw, SETTINGS)
    rendering = render_fleet(BUNDLED, {}, fleet, SETTINGS)
    kept = fleet.without(rendering.untold_ids).backends
    for config in rendering.configs:
        names = {server.name for server in servers(config.text)}
        assert names == {each.name for each in kept}
        with tempfile.TemporaryDirectory() as folder:
            assert check(config.text, fleet, StandIns(Path(folder))) == ()


@pytest.mark.fault("F25")
@fuzzed(1500, value=TEXTS)
def test_no_template_in_data_is_evaluated(value: str) -> None:
    """A tag stands there as it is, however often the template hands it on, or its instance is left out."""
    source = (
        "{% set again = b.tags.Name %}{{ again ~ '' }}|{{ [again] | join }}|{{ {'k': again}.k }}|"
        "{{ again | default('x') }}|{{ vars_of_tag }}"
    )
    frame = (
        "listen a\n bind :80\n{% for b in backends %}\n server {{ b.name }} {{ b.address }}:80\n #"
        + source
        + "\n{% endfor %}\n"
    )
    raw = [instance(1, tags={"Name": value}), instance(2, tags={"Name": "plain"})]
    fleet = inventory.parse(raw, SETTINGS)
    stated = {"vars_of_tag": "{{ backends[0].tags.Name }}"}
    text = render_fleet(TemplateSet("t", {"t": frame}), stated, fleet, SETTINGS)
    (config,) = text.configs
    lines = re.findall(r"^ #(.*)$", config.text, re.MULTILINE)
    told = value if is_allowed(value) else "plain"
    expected = {"plain": "|".join(["plain"] * 4 + [told])} | (
        {value: "|".join([value] * 5)} if is_allowed(value) else {}
    )
    assert sorted(lines) == sorted(expected.values()) or len(expected) == 1
    assert all(line in expected.values() for line in lines)
