"""Who is found, and what an operator is told of those who are not, through the real handler."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import ClientError

from haproxy_sync.fleet import inventory
from tests.contract.world import World, new_world


def near_misses(answer: dict[str, Any]) -> dict[str, str]:
    """What `status` or `plan` says of mistyped tags, by instance."""
    return {
        each["instance_id"]: each["detail"]
        for each in answer["skipped"]
        if each["reason"] == "near-miss"
    }


@contextmanager
def questions(world: World) -> Iterator[list[list[dict[str, Any]]]]:
    """The filters of each question to EC2 for instances, from here on."""
    asked: list[list[dict[str, Any]]] = []

    def ask(params: dict[str, Any], **_: Any) -> None:
        asked.append(params["Filters"])

    events = world.clients.ec2.meta.events
    name = "provide-client-params.ec2.DescribeInstances"
    events.register(name, ask)
    yield asked
    events.unregister(name, ask)


@pytest.mark.fault("F112")
def test_a_value_in_another_case_is_named() -> None:
    """In `status` and in `plan`, by instance id; the fleet converges without it, and no look asks more for it."""
    with new_world() as world:
        served = world.launch("tomcat", 2)
        (lost,) = world.launch("Tomcat")
        world.launch("haproxy")
        with questions(world) as asked:
            world.sweep()
            assert len(asked) == 1
        world.settle()
        status = world.act("status")
        assert sorted(status["backends"]) == sorted(served)
        assert status["converged"]
        expected = {lost: "'Type'='Tomcat', expected 'tomcat'"}
        assert near_misses(status) == near_misses(world.act("plan")) == expected


@pytest.mark.fault("F112")
def test_a_backend_whose_option_is_mistyped_is_served_and_named() -> None:
    """Until the tag is mended."""
    with new_world() as world:
        (backend,) = world.launch("tomcat", tags={"haproxy:Port": "9000"})
        world.launch("haproxy")
        world.sweep()
        world.settle()
        status = world.act("status")
        assert (status["backends"], list(near_misses(status))) == ([backend], [backend])
        tags = [{"Key": "haproxy:Port"}]
        world.clients.ec2.delete_tags(Resources=[backend], Tags=tags)
        world.sweep()
        assert near_misses(world.act("status")) == {}


@pytest.mark.fault("F113")
@pytest.mark.parametrize(
    "tags",
    [
        {"Environment": "Staging"},
        {"Environment": "staging\u00a0"},
        {"Environment": "", "environment": "staging"},
        {"Environment": "STAGING", "Type": "", "type": "haproxy"},
    ],
)
def test_the_only_proxy_of_a_mistyped_environment_is_named(
    tags: dict[str, str],
) -> None:
    """By a look that finds none; not by one that finds all."""
    with new_world() as world:
        world.launch("tomcat")
        (lost,) = world.launch("haproxy", tags=tags)
        empty = [{"Key": key} for key, value in tags.items() if not value]
        if empty:
            world.clients.ec2.delete_tags(Resources=[lost], Tags=empty)
        world.sweep()
        assert list(near_misses(world.act("status"))) == [lost]
        assert list(near_misses(world.act("plan"))) == [lost]
        world.launch("haproxy")
        world.act("sync")
        assert near_misses(world.act("status")) == {}


@pytest.mark.fault("F113")
def test_strangers_are_not_named() -> None:
    """Other environments, and other types, are somebody else's."""
    with new_world() as world:
        world.launch("tomcat", tags={"Environment": "production"})
        world.launch("postgres", tags={"Environment": "Staging"})
        world.sweep()
        assert world.act("status")["skipped"] == []


@pytest.mark.fault("F113")
def test_a_search_that_fails_fails_no_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the look itself has found counts."""

    def denied(*_: object) -> None:
        raise ClientError(
            {"Error": {"Code": "RequestLimitExceeded", "Message": ""}},
            "DescribeInstances",
        )

    monkeypatch.setattr(inventory, "near_environment", denied)
    with new_world() as world:
        (backend,) = world.launch("tomcat")
        assert world.sweep() == []
        assert world.act("status")["backends"] == [backend]


@pytest.mark.fault("F111")
def test_a_rollout_in_another_partition() -> None:
    """Every proxy gets the address of its own partition, and the document takes it."""
    with new_world(region="eusc-de-east-1") as world:
        world.launch("tomcat")
        (proxy,) = world.launch("haproxy")
        world.sweep()
        world.settle()
        assert world.act("status")["converged"]
        (order, *_) = world.proxies[proxy].agent.orders
        (url,) = order.parameters["SourceUrl"]
        assert url.startswith("https://bucket.s3.eusc-de-east-1.amazonaws.eu/")


@pytest.mark.fault("F114")
@pytest.mark.parametrize(
    ("backend", "proxy"),
    [
        ("App Server/blau: größe", "Lastverteiler Süd @ Rand"),
        ("приложение 2", "lb=1+1"),
    ],
)
def test_types_with_blanks_and_letters_of_any_language_are_served(
    backend: str, proxy: str
) -> None:
    """And are groups of a template by their name."""
    with new_world(backend_tag_value=backend, proxy_tag_value=proxy) as world:
        (served,) = world.launch(backend)
        world.launch("tomcat")
        (balancer,) = world.launch(proxy)
        world.join(balancer)
        world.clients.s3.put_object(
            Bucket="bucket",
            Key="templates/staging/haproxy.cfg.j2",
            Body=(
                "listen all\n    bind :80\n"
                f"{{% for name in groups['{backend}'] %}}"
                "    server {{ name }} {{ hostvars[name].ansible_host }}:80\n"
                f"{{% endfor %}}# of {{{{ groups['{proxy}'] | length }}}}\n"
            ).encode(),
        )
        world.sweep()
        world.settle()
        status = world.act("status")
        assert (status["backends"], status["converged"]) == ([served], True)
        assert list(status["proxies"]) == [balancer]
        text = world.served(balancer)
        assert (text.count("server "), text.count("# of 1")) == (1, 1)
