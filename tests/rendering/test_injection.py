"""Whatever people write into tags, HAProxy reads the config that was meant."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haproxy_sync.config.facts import is_allowed
from haproxy_sync.config.language import servers
from haproxy_sync.config.render import render_fleet
from haproxy_sync.config.sources import TemplateSet
from haproxy_sync.fleet import inventory
from haproxy_sync.settings import Settings
from local.haproxy_check import check
from local.stand_ins import StandIns
from tests.fleet import instance

SETTINGS = Settings(
    "staging", "ap-southeast-2", "bucket", "https://queue", "document", "stack"
)
# The tag stands where texts stand: a comment, a description, a quoted header.
TEMPLATE = """defaults
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
listen app
    bind 127.0.0.1:8080
{% for b in backends %}
    # {{ b.tags.Name }}
    http-response set-header X-Name "name {{ b.tags.Name }}"
    server {{ b.name }} {{ b.address }}:{{ b.port }} check
{% endfor %}
"""
PIECES = st.sampled_from(
    [
        "\n",
        "\r",
        " ",
        "#",
        '"',
        "'",
        "\\",
        "$",
        "${HOME}",
        "{{ 1 }}",
        "%[src]",
        "%",
        "server x 1.2.3.4:5",
        "a",
        "\u2028",
        "é",
    ]
)


@pytest.mark.fault("F25")
@settings(max_examples=25)
@given(st.lists(PIECES, max_size=6).map("".join) | st.text(max_size=30))
def test_a_tag_never_changes_what_haproxy_reads(value: str) -> None:
    """The instance is left out, or its tag stands there as text: no line, no server, no expression more."""
    fleet = inventory.parse(
        [instance(1, tags={"Name": value}), instance(2, tags={"Name": "plain"})],
        SETTINGS,
    )
    rendering = render_fleet(
        TemplateSet("t.j2", {"t.j2": TEMPLATE}), {}, fleet, SETTINGS
    )
    text = rendering.configs[0].text
    names = [server.name for server in servers(text)]
    assert names == [
        backend.name for backend in fleet.backends[0 if is_allowed(value) else 1 :]
    ]
    assert text.count("\n") == 7 + 3 * len(names)
    with tempfile.TemporaryDirectory() as folder:
        assert check(text, fleet, StandIns(Path(folder))) == ()
