"""What EC2 describes becomes typed values or is skipped with a reason, whatever the text in it."""

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haproxy_sync.fleet import inventory
from haproxy_sync.fleet.model import Fleet, Skipped
from haproxy_sync.settings import Settings
from tests.fleet import instance

SETTINGS = Settings(
    "staging", "ap-southeast-2", "bucket", "https://queue", "document", "stack"
)


def parse(*instances: dict[str, Any], settings: Settings = SETTINGS) -> Fleet:
    """The fleet of these instances."""
    return inventory.parse(instances, settings)


def reasons(fleet: Fleet) -> list[str]:
    """Why instances were skipped."""
    return [skipped.reason for skipped in fleet.skipped]


def test_types_go_to_their_places() -> None:
    """Backends, proxies and the rest, each with what EC2 knows of it."""
    fleet = parse(instance(1), instance(2, "haproxy"), instance(3, "postgres"))
    assert [host.name for host in fleet.backends] == ["ip-10-0-0-2"]
    assert [host.address for host in fleet.proxies] == ["10.0.0.3"]
    assert [host.type for host in fleet.others] == ["postgres"]
    assert fleet.backends[0].port == 8080
    assert fleet.skipped == ()


@pytest.mark.fault("F43")
@given(
    st.permutations(
        [instance(number, kind) for number in range(1, 7) for kind in ("tomcat",)]
    )
)
def test_the_order_of_the_answer_does_not_matter(
    instances: list[dict[str, Any]],
) -> None:
    """The fleet is sorted by instance id."""
    assert parse(*instances) == parse(*reversed(instances))
    ids = [host.instance_id for host in parse(*instances).backends]
    assert ids == sorted(ids)


@pytest.mark.fault("F24")
def test_an_instance_without_tags_is_no_member() -> None:
    """It comes in when its tags do; one with an environment alone is no backend yet."""
    bare = instance(1)
    del bare["Tags"]
    fleet = parse(bare, instance(2, None))
    assert (fleet.backends, fleet.proxies) == ((), ())
    assert [host.type for host in fleet.others] == [""]


@pytest.mark.fault("F25")
@pytest.mark.parametrize(
    "text",
    ["a\nb", "a #b", 'a"b', "a'b", "a\\b", "{{ a }}", "$(reboot)", "a b", "-a", "a_b"],
)
def test_a_hostile_host_name_never_becomes_a_server_name(text: str) -> None:
    """The name falls back to the instance id; the others are unaffected."""
    fleet = parse(instance(1, PrivateDnsName=f"{text}.internal"), instance(2))
    assert [host.name for host in fleet.backends] == [f"i-{1:017x}", "ip-10-0-0-3"]
    assert fleet.backends[0].private_dns_name == ""


@pytest.mark.fault("F25")
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("InstanceId", "i-1\n"),
        ("PrivateIpAddress", "10.0.0.1 #"),
        ("PrivateIpAddress", "ip-10-0-0-1"),
        ("Placement", {"AvailabilityZone": "a\nb"}),
    ],
)
def test_a_hostile_value_skips_its_instance(field: str, value: object) -> None:
    """With a reason, and nobody else."""
    fleet = parse(instance(1, **{field: value}), instance(2))
    assert len(fleet.backends) == 1
    assert reasons(fleet)[0].startswith("bad-")


@pytest.mark.fault("F26")
@pytest.mark.parametrize(
    "text", ["🦊" * 60, "a\u200bb", "\u202eabc", "a\u2028b", "x" * 256]
)
def test_strange_text_in_tags_harms_nobody(text: str) -> None:
    """Tags are kept as they are, as data; options made of them are reported escaped and short."""
    fleet = parse(instance(1, tags={"Name": text, "haproxy:weight": text}))
    assert fleet.backends[0].tags["Name"] == text
    assert fleet.backends[0].weight is None
    assert reasons(fleet) == ["bad-weight"]
    assert len(fleet.skipped[0].detail) <= 64


@pytest.mark.fault("F27")
def test_without_an_address_there_is_no_server() -> None:
    """`server x :8080` would pass `haproxy -c`; an instance with IPv6 alone keeps that address."""
    gone = instance(1, PrivateIpAddress="", PrivateDnsName="")
    six = instance(2, PrivateIpAddress=None, Ipv6Address="2001:db8::7")
    fleet = parse(gone, six)
    assert [host.address for host in fleet.backends] == ["2001:db8::7"]
    assert reasons(fleet) == ["no-address"]


@pytest.mark.fault("F28")
def test_without_a_host_name_the_instance_id_is_the_name() -> None:
    """An empty private DNS name is nothing unusual."""
    assert parse(instance(1, PrivateDnsName="")).backends[0].name == f"i-{1:017x}"


@pytest.mark.fault("F29")
@pytest.mark.parametrize(
    ("dns_name", "name"),
    [
        ("ip-10-0-0-1.ec2.internal", "ip-10-0-0-1"),
        ("ip-10-0-0-1.eu-west-1.compute.internal", "ip-10-0-0-1"),
        ("i-0a1b2c3d4e5f60001.eu-west-1.compute.internal", "i-0a1b2c3d4e5f60001"),
        ("app-7.shop.example", "app-7"),
        ("app-7", "app-7"),
    ],
)
def test_the_first_label_is_the_name(dns_name: str, name: str) -> None:
    """As the origin did by cutting off the region's suffix, but for every kind of host name."""
    assert parse(instance(1, PrivateDnsName=dns_name)).backends[0].name == name


@pytest.mark.fault("F30")
def test_equal_labels_are_told_apart_and_stay_so() -> None:
    """Two VPCs may know the same host name; both get the instance id into it, whoever comes first."""
    one, two = (instance(n, PrivateDnsName=f"app.vpc-{n}.example") for n in (1, 2))
    names = [host.name for host in parse(one, two).backends]
    assert names == [f"app-i-{1:017x}", f"app-i-{2:017x}"]
    assert names == [host.name for host in parse(two, one).backends]


@pytest.mark.fault("F31")
def test_an_address_belongs_to_the_newest_launch() -> None:
    """The older instance is reported, not served."""
    old = instance(
        9, LaunchTime="2026-11-22T03:00:00+00:00", PrivateIpAddress="10.0.0.9"
    )
    new = instance(
        1, LaunchTime="2026-11-22T04:00:00+00:00", PrivateIpAddress="10.0.0.9"
    )
    fleet = parse(old, new)
    assert [host.instance_id for host in fleet.backends] == [new["InstanceId"]]
    assert fleet.skipped == (
        Skipped(old["InstanceId"], "address-reused", f"by {new['InstanceId']}"),
    )


@pytest.mark.fault("F32")
@pytest.mark.parametrize(
    "state", ["pending", "stopping", "shutting-down", "stopped", "terminated"]
)
def test_only_running_instances_are_members(state: str) -> None:
    """Whatever the filter returned. Machines that go are known as such."""
    fleet = parse(instance(1, State={"Name": state}))
    assert replace(fleet, leaving=frozenset()) == Fleet((), ())
    assert bool(fleet.leaving) == (state in inventory.LEAVING)


@pytest.mark.fault("F32")
def test_another_environment_is_not_ours() -> None:
    """Whatever the filter returned."""
    assert parse(instance(1, tags={"Environment": "production"})) == Fleet((), ())


@pytest.mark.fault("F33")
@pytest.mark.parametrize(
    "tags",
    [{"type": "haproxy"}, {"Type": "tomcat,haproxy"}, {"Type": "haproxy; tomcat"}],
)
def test_two_roles_are_none(tags: dict[str, str]) -> None:
    """An instance that claims to be both is skipped and named."""
    fleet = parse(instance(1, tags=tags))
    assert (fleet.backends, fleet.proxies, reasons(fleet)) == ((), (), ["ambiguous"])


@pytest.mark.fault("F34")
@pytest.mark.parametrize(
    "text",
    [
        "0",
        "70000",
        "80;80",
        "８０８０",  # noqa: RUF001
        "",
        " 80",
        "+80",
        "0x50",
        "80\n",
    ],
)
def test_a_bad_port_skips_the_backend(text: str) -> None:
    """Traffic to a guessed port would be worse than none."""
    fleet = parse(instance(1, tags={"haproxy:port": text}))
    assert (fleet.backends, reasons(fleet)) == ((), ["bad-port"])


def test_options_are_read_from_tags() -> None:
    """Port, weight, backup and drain."""
    tags = {
        "haproxy:port": "9000",
        "haproxy:weight": "0",
        "haproxy:backup": "true",
        "haproxy:drain": "YES",
    }
    (backend,) = parse(instance(1, tags=tags)).backends
    assert (backend.port, backend.weight, backend.backup, backend.drain) == (
        9000,
        0,
        True,
        True,
    )


@pytest.mark.parametrize(
    ("tag", "text", "reason"),
    [
        ("haproxy:weight", "257", "bad-weight"),
        ("haproxy:weight", "-1", "bad-weight"),
        ("haproxy:backup", "maybe", "bad-backup"),
        ("haproxy:drain", "", "bad-drain"),
    ],
)
def test_a_bad_option_is_skipped_alone(tag: str, text: str, reason: str) -> None:
    """The backend stays, with the default."""
    fleet = parse(instance(1, tags={tag: text}))
    assert (len(fleet.backends), reasons(fleet)) == (1, [reason])
    assert fleet.backends[0].weight is None
    assert not fleet.backends[0].backup
    assert not fleet.backends[0].drain


@pytest.mark.fault("F38")
def test_a_backend_of_a_foreign_subnet_is_refused_where_subnets_are_listed() -> None:
    """Whoever may set the tag may join, unless the stack says from where."""
    narrow = Settings(
        "staging",
        "r",
        "b",
        "q",
        "d",
        "stack",
        backend_subnets=frozenset({"subnet-0a1b2c3d4e5f60001"}),
    )
    fleet = parse(
        instance(1), instance(2, SubnetId="subnet-0ffffffffffffffff"), settings=narrow
    )
    assert (len(fleet.backends), reasons(fleet)) == (1, ["foreign-subnet"])


def test_tags_reach_nobody_else() -> None:
    """Each host carries its own tags, unchanged."""
    fleet = parse(instance(1, tags={"Owner": "a"}), instance(2, tags={"Owner": "b"}))
    assert [host.tags["Owner"] for host in fleet.backends] == ["a", "b"]


hostile = st.text(max_size=30)


@given(
    st.lists(
        st.builds(
            lambda number, dns, port, weight, kind: instance(
                number,
                kind,
                PrivateDnsName=dns,
                tags={"haproxy:port": port, "haproxy:weight": weight},
            ),
            st.integers(1, 40),
            hostile,
            hostile | st.just("80"),
            hostile,
            st.sampled_from(["tomcat", "haproxy", ""]),
        ),
        max_size=8,
        unique_by=lambda each: each["InstanceId"],
    )
)
def test_whatever_the_text_values_are_clean_and_nobody_is_lost(
    instances: list[dict[str, Any]],
) -> None:
    """Every instance is a host or is skipped; names are unique and of harmless characters."""
    fleet = parse(*instances)
    hosts = (*fleet.backends, *fleet.proxies, *fleet.others)
    names = [host.name for host in hosts]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9-]+", name, re.ASCII) for name in names)
    seen = {host.instance_id for host in hosts} | {
        skipped.instance_id for skipped in fleet.skipped
    }
    assert seen == {each["InstanceId"] for each in instances}


class Answering:
    """EC2 that has the same instances for every question, and remembers what it was asked."""

    def __init__(self, *instances: dict[str, Any]) -> None:
        self.instances = instances
        self.asked: list[tuple[str, int]] = []

    def describe_instances(self, **request: Any) -> dict[str, Any]:
        """All of them, whatever the filter."""
        (only,) = request["Filters"]
        self.asked.append((only["Name"], len(only["Values"])))
        return {"Reservations": [{"Instances": list(self.instances)}]}


def on_an_interface(address: str, **changes: Any) -> dict[str, Any]:
    """Somebody else's instance that has the address on its second interface."""
    kind = "Ipv6Address" if ":" in address else "PrivateIpAddress"
    listed = {"Ipv6Address": "Ipv6Addresses", "PrivateIpAddress": "PrivateIpAddresses"}
    interface = {
        "VpcId": "vpc-0a1b2c3d4e5f60001",
        listed[kind]: [{kind: address}],
    }
    return instance(900, "x", NetworkInterfaces=[interface], **changes)


@pytest.mark.fault("F109")
def test_an_address_is_somebody_elses_on_whichever_interface() -> None:
    """IPv4 and IPv6 are asked for apart, since all filters of a question must fit."""
    six = instance(2, PrivateIpAddress=None, Ipv6Address="2001:db8::2")
    hosts = parse(instance(1), six).backends
    for host, name in zip(hosts, inventory.ADDRESS_FILTERS.values(), strict=True):
        ec2 = Answering(on_an_interface(host.address))
        assert inventory.taken_over(ec2, hosts) == {host.instance_id}
        assert (name, 1) in ec2.asked


@pytest.mark.fault("F109")
@pytest.mark.parametrize(
    "other",
    [
        on_an_interface("10.0.0.9"),
        on_an_interface("10.0.0.2", State={"Name": "terminated"}),
        on_an_interface("10.0.0.2", State={"Name": "shutting-down"}),
        instance(901, PrivateIpAddress="10.0.0.2", VpcId="vpc-0a1b2c3d4e5f60002"),
        instance(1),
        instance(1, State={"Name": "stopped"}, tags={"Environment": "production"}),
    ],
)
def test_whose_address_is_not_surely_another_ones_keeps_it(
    other: dict[str, Any],
) -> None:
    """Another address, one given back, another VPC, or its own."""
    hosts = parse(instance(1)).backends
    assert inventory.taken_over(Answering(other), hosts) == frozenset()


@pytest.mark.fault("F109")
def test_of_a_host_whose_vpc_is_not_known_nothing_is_known() -> None:
    """A state of an earlier release does not name it."""
    hosts = parse(instance(1, VpcId=None)).backends
    ec2 = Answering(on_an_interface(hosts[0].address))
    assert inventory.taken_over(ec2, hosts) == frozenset()
    assert ec2.asked == []


@pytest.mark.fault("F109")
def test_addresses_are_asked_for_by_as_many_as_a_filter_takes() -> None:
    """Two hundred values in one question."""
    ec2 = Answering()
    inventory.taken_over(ec2, parse(*map(instance, range(450))).backends)
    (name,) = {name for name, _ in ec2.asked}
    assert name == "network-interface.addresses.private-ip-address"
    assert [number for _, number in ec2.asked] == [200, 200, 50]


@pytest.mark.fault("F150")
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"PrivateIpAddress": None}, "no-address"),
        ({"Placement": {"AvailabilityZone": "A #"}}, "bad-zone"),
        ({"PrivateDnsName": ""}, "bad-port"),
        ({}, "near-miss"),
    ],
)
def test_who_is_skipped_has_a_name_and_an_address(
    changes: dict[str, Any], reason: str
) -> None:
    """As far as EC2 shows them, whatever it is skipped for."""
    tags = {"near-miss": {"haproxy:prot": "1"}, "bad-port": {"haproxy:port": "x"}}
    raw = instance(7, **changes)
    raw["Tags"] += [
        {"Key": key, "Value": value} for key, value in tags.get(reason, {}).items()
    ]
    (skipped,) = parse(raw).skipped
    assert skipped.reason == reason
    label = raw["PrivateDnsName"].partition(".")[0]
    assert skipped.name == (label or raw["InstanceId"])
    assert skipped.address == (raw["PrivateIpAddress"] or "")
    assert skipped.zone == raw["Placement"]["AvailabilityZone"]


def test_what_the_skipped_are_called_decides_nothing() -> None:
    """Neither their order nor whether two are one."""
    first, second = Skipped("i-1", "a", name="z"), Skipped("i-1", "b", name="a")
    assert sorted([second, first]) == [first, second]
    assert len({first, Skipped("i-1", "a")}) == 1
