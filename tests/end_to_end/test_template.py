"""An uploaded template is an event like any other."""

from collections.abc import Iterator

import pytest

from local.system import LocalSystem
from tests.end_to_end.conftest import config, workers

KEY = "templates/staging/haproxy.cfg.j2"
PLAYBOOK = """\
global
    stats socket /run/haproxy/admin.sock mode 660 level admin expose-fd listeners
    server-state-file /var/lib/haproxy-ec2-sync/server-state
defaults
    mode http
    load-server-state-from-file global
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend https
    bind :443 ssl crt /etc/haproxy/certs
    default_backend tomcat
backend tomcat
{% for backend in groups['backends'] %}
    server {{ backend }} {{ backend }}:8080 check observe layer7
{% endfor %}
"""


@pytest.fixture
def bucket(system: LocalSystem) -> Iterator[str]:
    """The bucket; afterwards the bundled template is back."""
    name = system.stack.outputs["BucketName"]
    bundled = [config(proxy) for proxy in system.proxies.values()]
    yield name
    system.stack.s3.delete_object(Bucket=name, Key=KEY)
    system.wait_until(
        "the bundled template is back",
        lambda: [config(proxy) for proxy in system.proxies.values()] == bundled,
    )


def test_the_playbooks_loop_works_unchanged(system: LocalSystem, bucket: str) -> None:
    """Upload a template with the playbook's own loop: it rolls out, and clients reach every backend by its name."""
    system.stack.s3.put_object(Bucket=bucket, Key=KEY, Body=PLAYBOOK.encode())
    lines = [
        f"    server {each.name} {each.name}:8080 check observe layer7"
        for each in system.backends.values()
    ]
    system.wait_until(
        "it is installed",
        lambda: all(
            set(lines) <= set(config(p).splitlines()) for p in system.proxies.values()
        ),
    )
    system.wait_until_serving(*system.backends.values())


def test_a_broken_template_holds_the_config(system: LocalSystem, bucket: str) -> None:
    """A template that does not render changes nothing, and status says file and line."""
    before = workers(system)
    system.stack.s3.put_object(Bucket=bucket, Key=KEY, Body=b"global\n{% for x in %}\n")
    system.wait_until(
        "the error is reported", lambda: system.status()["template_error"]
    )
    assert "haproxy.cfg.j2" in system.status()["template_error"]
    assert "2" in system.status()["template_error"]
    assert workers(system) == before
