"""A fleet and a template become configs: Ansible's names, EC2's values as data, nothing published that is not whole."""

import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haproxy_sync.config.ansible import output, plugins
from haproxy_sync.config.ansible.engine import Engine
from haproxy_sync.config.language import servers
from haproxy_sync.config.render import Rendering, render_fleet
from haproxy_sync.config.sources import TemplateSet
from haproxy_sync.config.variables import parse_variables
from haproxy_sync.errors import TemplateError
from haproxy_sync.fleet import inventory
from haproxy_sync.fleet.model import Backend, Config, Fleet, Skipped
from haproxy_sync.settings import Settings
from tests.fleet import instance

pytestmark = pytest.mark.usefixtures("rendered_here")

if TYPE_CHECKING:
    from collections.abc import Mapping

SETTINGS = Settings(
    "staging", "ap-southeast-2", "bucket", "https://queue", "document", "stack"
)
PLAYBOOK = """listen app
    bind *:80
{% for backend in groups['backends'] %}
    server {{ backend }} {{ backend }}:8080 check observe layer7
{% endfor %}
"""
PROXY, OTHER_PROXY = f"i-{8:017x}", f"i-{9:017x}"


def fleet(*more: dict[str, Any]) -> Fleet:
    """Three backends, two proxies in two zones, and more."""
    far = {"Placement": {"AvailabilityZone": "ap-southeast-2b"}}
    proxies = (instance(8, "haproxy"), instance(9, "haproxy", **far))
    return inventory.parse(
        [instance(1), instance(2), instance(3, **far), *proxies, *more], SETTINGS
    )


def render(
    template: str,
    of: Fleet | None = None,
    settings: Settings = SETTINGS,
    **variables: Any,
) -> Rendering:
    """Render a template that needs no other file."""
    return render_fleet(
        TemplateSet("main.j2", {"main.j2": template}),
        variables,
        of or fleet(),
        settings,
    )


def text(template: str, of: Fleet | None = None, **variables: Any) -> str:
    """The end of the config that `template` adds to the playbook's lines."""
    rendering = render(PLAYBOOK + template, of, **variables)
    config = rendering.shared or rendering.by_proxy[PROXY]
    whole = replace(of or fleet(), backends=_staying(of or fleet()))
    return config.text.removeprefix(render(PLAYBOOK, whole).configs[0].text)


def _staying(of: Fleet) -> tuple[Backend, ...]:
    """The playbook's lines are of all backends, where the template shows who drains."""
    return tuple(replace(each, drain=False) for each in of.backends)


def test_the_playbooks_lines() -> None:
    """The playbook's fragment gives the playbook's lines, byte for byte."""
    assert render(PLAYBOOK).configs[0].text == (
        "listen app\n"
        "    bind *:80\n"
        "    server ip-10-0-0-2 ip-10-0-0-2:8080 check observe layer7\n"
        "    server ip-10-0-0-3 ip-10-0-0-3:8080 check observe layer7\n"
        "    server ip-10-0-0-4 ip-10-0-0-4:8080 check observe layer7\n"
    )


def test_what_only_the_guard_knows_of_a_host_is_no_name() -> None:
    """The VPC is compared, never shown."""
    assert text("# {{ backends[0].vpc | default('none') }}\n") == "# none\n"
    with pytest.raises(TemplateError, match=r"launched_at, tags, port"):
        text("{{ backends[0].no_such }}\n")


def test_typed_backends() -> None:
    """The objects of `backends` carry what the names of `groups` do not."""
    of = fleet(
        instance(
            4,
            tags={
                "haproxy:port": "9090",
                "haproxy:weight": "10",
                "haproxy:drain": "true",
            },
        )
    )
    template = (
        "{% for b in backends %}"
        "{{ b.name }} {{ b.address }} {{ b.port }} {{ b.weight }} {{ b.drain }}|"
        "{% endfor %}"
    )
    lines = text(template, of).split("|")
    assert lines[0] == "ip-10-0-0-2 10.0.0.2 8080  False"
    assert lines[3] == "ip-10-0-0-5 10.0.0.5 9090 10 True"


def test_groups_hold_every_type() -> None:
    """A group per value of the type tag, the playbook's two, and those of EC2 inventories by tag."""
    of = fleet(instance(20, "postgres", tags={"Role": "db-1"}))
    assert text(
        "{{ groups.postgres }} {{ groups['tag_Role_db_1'] }} {{ groups.haproxy }}", of
    ) == ("['ip-10-0-0-21'] ['ip-10-0-0-21'] ['10.0.0.9', '10.0.0.10']\n")
    assert text(
        "{{ groups.tomcat == groups.backends }} {{ groups['all'] | length }} {{ 'nobody' in groups }}",
        of,
    ) == ("True 6 False\n")


def test_empty_groups_exist() -> None:
    """A fleet without backends renders: the guard decides about it, not an undefined name."""
    empty = replace(fleet(), backends=())
    assert (
        list(
            servers(render(PLAYBOOK + "{{ groups['tomcat'] }}", empty).configs[0].text)
        )
        == []
    )


@pytest.mark.parametrize(
    "key",
    ["10.0.0.9", "ip-10-0-0-9", PROXY, "ip-10-0-0-9.ap-southeast-2.compute.internal"],
)
def test_hostvars_knows_a_host_by_all_its_names(key: str) -> None:
    """A template finds a proxy by address, label, DNS name and instance id."""
    assert text(f"{{{{ hostvars['{key}'].ec2_id }}}}") == f"{PROXY}\n"


class TestRenderingHost:
    """Who gets which config."""

    def test_shared_unless_the_host_is_read(self) -> None:
        """A template that never reads the rendering host is rendered once, for future proxies as well."""
        rendering = render(
            PLAYBOOK + "{% if false %}{{ inventory_hostname }}{% endif %}"
        )
        assert rendering.shared is not None
        assert rendering.by_proxy == {}

    @pytest.mark.parametrize(
        "name",
        [
            "inventory_hostname",
            "ansible_host",
            "ec2_id",
            "zone",
            "proxy.name",
            "vars.zone",
            "ansible_facts.fqdn",
        ],
    )
    def test_one_per_proxy_where_it_is_read(self, name: str) -> None:
        """Whatever tells hosts apart makes the config that proxy's own."""
        rendering = render(PLAYBOOK + "{{ " + name + " }}")
        assert rendering.shared is None
        assert set(rendering.by_proxy) == {PROXY, OTHER_PROXY}
        assert rendering.by_proxy[PROXY] != rendering.by_proxy[OTHER_PROXY]

    def test_a_variable_that_reads_the_host_counts(self) -> None:
        """The host may hide behind a user's variable, or behind a group's."""
        assert render(PLAYBOOK + "{{ me }}", me="{{ ansible_host }}").shared is None
        assert (
            render(
                PLAYBOOK + "{{ who }}", host_vars={PROXY: {"who": "a"}}, who="b"
            ).shared
            is None
        )

    def test_equal_texts_are_one_object(self) -> None:
        """Proxies with the same text share one config, and so one command."""
        near = fleet(instance(10, "haproxy"))
        rendering = render(PLAYBOOK + "# {{ zone }}", near)
        assert len(rendering.configs) == 2
        assert rendering.by_proxy[PROXY] is rendering.by_proxy[f"i-{10:017x}"]
        unread = render(PLAYBOOK + "# {{ inventory_hostname | length > 1 }}", near)
        assert len({id(config) for config in unread.by_proxy.values()}) == 1

    def test_without_a_proxy(self) -> None:
        """No proxy, no host to read: a template that reads none still has its config."""
        alone = replace(fleet(), proxies=())
        assert render(PLAYBOOK, alone).shared is not None
        assert render(PLAYBOOK + "{{ inventory_hostname }}", alone).configs == ()


@pytest.mark.fault("F43")
@given(st.permutations(range(1, 8)))
def test_the_same_fleet_gives_the_same_bytes(order: list[int]) -> None:
    """Whatever order EC2 answers in."""
    instances = [instance(number, tags={"Name": str(number)}) for number in order]
    template = (
        PLAYBOOK + "{{ groups }}{% for b in backends %}{{ b.tags.Name }}{% endfor %}"
    )
    shuffled, ordered = (
        inventory.parse(each, SETTINGS)
        for each in (instances, [instance(n) for n in range(1, 8)])
    )
    assert render(PLAYBOOK, shuffled) == render(PLAYBOOK, ordered)
    names = text("{% for b in backends %}{{ b.tags.Name }}{% endfor %}", shuffled)
    assert names == "1234567\n"
    assert render(template, shuffled) == render(template, shuffled)


class TestTags:
    """Tags are hostile text."""

    HOSTILE = (
        "a\nb",
        "a # b",
        "a'b",
        'a"b',
        "a\\b",
        "$HOME",
        "$(id)",
        "%[env(HOME)]",
        "{{ 1 }}",
        " a",
        "a ",
        "a\u2028b",
        "a\u202eb",
        "\x00",
    )

    @pytest.mark.fault("F25")
    @pytest.mark.parametrize("value", HOSTILE)
    @pytest.mark.parametrize(
        "read",
        [
            "hostvars[h].ec2_tag_Name",
            "hostvars[h]['ec2_tag_Name'] | default('x')",
            "hostvars[h].tags.Name",
            "hostvars[h].tags.values() | list",
            "backends | map(attribute='tags') | map(attribute='Name') | list",
            "hostvars[h].vars.ec2_tag_Name",
        ],
    )
    def test_reading_a_bad_one_skips_the_instance(self, value: str, read: str) -> None:
        """The instance whose tag is not on the allow-list is left out with a reason, all others stay."""
        of = inventory.parse(
            [instance(n, tags={"Name": value if n == 2 else "ok"}) for n in (1, 2, 3)],
            SETTINGS,
        )
        rendering = render(
            PLAYBOOK
            + "{% for h in groups.backends %}# {{ "
            + read
            + " }}|\n{% endfor %}",
            of,
        )
        assert rendering.skipped == (Skipped(f"i-{2:017x}", "refused-tag", "Name"),)
        config = rendering.configs[0].text
        assert [server.name for server in servers(config)] == [
            "ip-10-0-0-2",
            "ip-10-0-0-4",
        ]
        assert f"# {value}|" not in config

    @pytest.mark.fault("F25")
    def test_an_unread_bad_tag_harms_nobody(self) -> None:
        """Not even its own instance."""
        of = inventory.parse(
            [instance(1, tags={"Name": "a\nb", "Good": "x"})], SETTINGS
        )
        rendering = render(
            PLAYBOOK + "{{ hostvars[groups.backends[0]].ec2_tag_Good }}", of
        )
        assert rendering.skipped == ()
        assert len(list(servers(rendering.configs[0].text))) == 1

    @pytest.mark.fault("F25")
    @given(st.text(max_size=256))
    def test_no_tag_adds_a_line_or_a_word(self, value: str) -> None:
        """Any text at all either stands in the config as it is, in its place, or costs its instance."""
        of = inventory.parse([instance(1, tags={"Name": value}), instance(2)], SETTINGS)
        template = (
            PLAYBOOK
            + "{% for h in groups.backends %}# <{{ hostvars[h].ec2_tag_Name | default('') }}>\n{% endfor %}"
        )
        rendering = render(template, of)
        comments = [
            line
            for line in rendering.configs[0].text.split("\n")
            if line.startswith("#")
        ]
        if rendering.skipped:
            assert comments == ["# <>"]
        else:
            assert comments == [f"# <{value}>", "# <>"]

    @pytest.mark.fault("F26")
    @pytest.mark.parametrize("value", ["größer", "世界", "✓ done", "x" * 256, ""])
    def test_words_of_any_script_are_fine(self, value: str) -> None:
        """Only what is invisible or special is refused."""
        of = inventory.parse([instance(1, tags={"Name": value})], SETTINGS)
        assert text("{{ backends[0].tags.Name }}x", of) == f"{value}x\n"

    def test_a_proxy_with_a_bad_tag_gets_no_config(self) -> None:
        """Its own tag is read while rendering for it; the other proxy goes on."""
        bad = fleet(instance(10, "haproxy", tags={"Name": "a\nb"}))
        rendering = render(PLAYBOOK + "{{ ec2_tag_Name | default('none') }}", bad)
        assert set(rendering.by_proxy) == {PROXY, OTHER_PROXY}
        assert rendering.skipped == (Skipped(f"i-{10:017x}", "refused-tag", "Name"),)

    def test_a_tag_is_never_a_template(self) -> None:
        """What the tag says is shown, what it would do as a template is not done."""
        of = inventory.parse(
            [instance(1, tags={"Name": "(a)s <b> [c] half off"})], SETTINGS
        )
        assert (
            text("{{ x }}|", of, x="{{ backends[0].tags.Name }}")
            == "(a)s <b> [c] half off|\n"
        )


class TestPlayHosts:
    """The playbook that this replaces renders on the proxies."""

    @pytest.mark.fault("F140")
    @pytest.mark.parametrize(
        "name",
        [
            "ansible_play_batch",
            "ansible_play_hosts",
            "ansible_play_hosts_all",
            "play_hosts",
        ],
    )
    def test_the_hosts_of_the_play_are_the_proxies(self, name: str) -> None:
        """All of the environment; and a variable may say otherwise."""
        assert text("{{ " + name + " }}") == "['10.0.0.9', '10.0.0.10']\n"
        assert text("{{ inventory_hostname in " + name + " }}") == "True\n"
        stated: dict[str, Any] = {name: ["a"]}
        assert text("{{ " + name + " }}", **stated) == "['a']\n"


class TestPrecedence:
    """Which variable wins."""

    def test_ec2_over_variables(self) -> None:
        """No variable changes what EC2 says, whatever parsed it."""
        assert (
            text("{{ ansible_host }}", ansible_host="evil", groups={}) == "10.0.0.9\n"
        )

    def test_host_over_group_over_file(self) -> None:
        """As in Ansible: all, then the groups, then the host."""
        variables: dict[str, Any] = {
            "a": "all", "b": "all", "c": "all",
            "group_vars": {"haproxy": {"b": "group", "c": "group"}, "tomcat": {"a": "no"}},
            "host_vars": {PROXY: {"c": "host of {{ b }}"}},
        }  # fmt: skip
        assert (
            text("{{ a }} {{ b }} {{ c }}", **variables) == "all group host of group\n"
        )

    def test_variables_over_conveniences(self) -> None:
        """A role's own `backends`, `zone` or `tags` keep working."""
        assert (
            text(
                "{{ backends }} {{ zone }} {{ tags }}",
                backends=["x"],
                zone="z",
                tags="t",
            )
            == "['x'] z t\n"
        )

    def test_stated_facts(self) -> None:
        """Guest facts that EC2 cannot know are stated as variables and seen under both their names."""
        stated: dict[str, Any] = {
            "ansible_os_family": "Debian",
            "ansible_facts": {"processor_vcpus": 2},
        }
        assert (
            text(
                "{{ ansible_facts.os_family }} {{ ansible_facts.processor_vcpus }}",
                **stated,
            )
            == "Debian 2\n"
        )


class TestRefusals:
    """What must never be published."""

    @pytest.mark.fault("F39")
    def test_a_syntax_error_says_where(self) -> None:
        """File and line of the mistake."""
        with pytest.raises(TemplateError, match=r"^main\.j2:7: ") as caught:
            render(PLAYBOOK + "\n{% if %}\n")
        assert (caught.value.file, caught.value.line) == ("main.j2", 7)

    @pytest.mark.fault("F40")
    def test_an_undefined_variable_says_which(self) -> None:
        """File, line and name."""
        with pytest.raises(TemplateError, match=r"main\.j2:6: 'nowhere' is undefined"):
            render(PLAYBOOK + "{{ nowhere }}")

    @pytest.mark.fault("F40")
    def test_an_error_inside_a_variable_says_both_places(self) -> None:
        """The line of the template that reads it, and the variable."""
        with pytest.raises(
            TemplateError,
            match=r"main\.j2:6: variable app\.port: .*unsupported operand",
        ):
            render(PLAYBOOK + "{{ app.port }}", app={"port": "{{ 'a' - 1 }}"})

    @pytest.mark.fault("F137")
    def test_a_set_is_in_the_same_order_in_every_process(self) -> None:
        """A config in Python's own order would be rolled out again by every new process of the function."""
        program = (
            "from haproxy_sync.config.variables import parse_variables\n"
            "print(parse_variables('s: !!set {b, a, d, c, 3, e}', 'f')['s'])"
        )
        printed = {
            subprocess.check_output(
                [sys.executable, "-c", program],
                env={"PYTHONPATH": "src", "PYTHONHASHSEED": seed},
                text=True,
            )
            for seed in "123"
        }
        assert printed == {"{'a', 'b', 'c', 'd', 'e', 3}\n"}
        (config,) = render(
            PLAYBOOK + "# {{ s | join }} {{ s | to_json }} {{ s | type_debug }}\n",
            s=parse_variables("s: !!set {b, a}", "f")["s"],
        ).configs
        assert config.text.endswith('# ab ["a", "b"] set\n')

    def test_a_line_after_the_header(self) -> None:
        """The header line counts, although Jinja never sees it."""
        with pytest.raises(TemplateError, match=r"main\.j2:3: 'x' is undefined"):
            render("#jinja2: lstrip_blocks: True\n\n{{ x }}\n")

    def test_an_error_in_an_included_file_names_that_file(self) -> None:
        """Not the one that includes it."""
        files = {"main.j2": "{% include 'part.j2' %}", "part.j2": "\n\n{{ x }}"}
        with pytest.raises(TemplateError, match=r"part\.j2:3: 'x' is undefined"):
            render_fleet(TemplateSet("main.j2", files), {}, fleet(), SETTINGS)

    @pytest.mark.fault("F138")
    @pytest.mark.parametrize(
        ("template", "place", "message"),
        [
            ("{% if true %}\n{{ 1 | no_such(a=1) }}{% endif %}", "main.j2:7", "No filter named 'no_such' found."),
            ("\n{{ {} | to_json(a=1) }}", "main.j2:7", "this call got an unexpected keyword argument 'a'"),
            ("\n{{ 'x' | to_uuid(1, 2, 3) }}", "main.j2:7", "this call takes from 1 to 2 positional arguments"),
            ("\n{{ 'x' | human_readable }}", "main.j2:7", "human_readable takes a number, not 'x'"),
            ("\n{{ '\\udcff' }}", "main.j2", "the text holds '\\udcff', which is no character"),
            ("{% if false %}{{ 1 | no_such }}{% endif %}\n{{ nowhere }}", "main.j2:7", "'nowhere' is undefined"),
            ("{% if 1 is no_such(b=1) %}{% endif %}", "main.j2:6", "No test named 'no_such' found."),
            ("{{ 'a' if 1 is no_such else 'b' }}", "main.j2:6", "No test named 'no_such' found."),
            ("{% macro m(x) %}\n\n{{ x.y }}\n{% endmacro %}\n\n{{ m(1) }}", "main.j2:8", "int has no attribute 'y'"),
            ("{% import 'part.j2' as part %}\n{{ part.m(1) }}", "part.j2:3", "int has no attribute 'y'"),
            ("{% from 'part.j2' import m %}\n{{ m(1) ~ 'x' }}", "part.j2:3", "int has no attribute 'y'"),
            ("\n{{ [{}] | map(attribute='x') | list }}", "main.j2:7", "dict has no attribute 'x'"),
            ("{{ mapping.x }}", "main.j2:6", "dict has no attribute 'x'"),
            ("{{ mapping['x'] }}", "main.j2:6", "dict has no attribute 'x'"),
            ("{{ mapping | attr('x') }}", "main.j2:6", "dict has no attribute 'x'"),
            ("{{ items[7] }}", "main.j2:6", "list has no item 7"),
            ("{{ mapping - 1 }}", "main.j2:6", "unsupported operand type(s) for -: 'dict' and 'int'"),
            ("{{ items - 1 }}", "main.j2:6", "unsupported operand type(s) for -: 'list' and 'int'"),
            ("{{ outer }}", "main.j2:6", "variable outer: variable inner: 'nowhere' is undefined"),
            ("{{ hostvars[inventory_hostname].ansible_eth9 }}", "main.j2:6",
             "hostvars['10.0.0.9'] has no 'ansible_eth9': EC2 does not know it; state it in the variables file,"),
            ("{{ hostvars['web1'].x }}", "main.j2:6",
             "hostvars has no host 'web1': only running instances of the environment"),
            ("{{ backends[0].prot }}", "main.j2:6", "ip-10-0-0-2 has no attribute 'prot', but instance_id, type,"),
        ],
    )  # fmt: skip
    def test_a_mistake_is_said_in_the_authors_words(
        self, template: str, place: str, message: str
    ) -> None:
        """The line where it stands, whatever calls it, and nothing of this package's own classes."""
        part = "{% macro m(x) %}\n\n{{ x.y }}\n{% endmacro %}\n"
        variables = {
            "items": [],
            "mapping": {"a": "b"},
            "inner": "{{ nowhere }}",
            "outer": "{{ inner }}",
        }
        files = {"main.j2": PLAYBOOK + template, "part.j2": part}
        with pytest.raises(TemplateError) as caught:
            render_fleet(TemplateSet("main.j2", files), variables, fleet(), SETTINGS)
        assert str(caught.value).startswith(f"{place}: {message}")

    @pytest.mark.fault("F138")
    @pytest.mark.parametrize("of", ["groups['webservers']", "groups.webservers"])
    def test_a_group_that_does_not_exist(self, of: str) -> None:
        """What a newcomer with a playbook meets first: the groups there are, and where their names come from."""
        with pytest.raises(TemplateError) as caught:
            render(PLAYBOOK + "{% for h in " + of + " %}{% endfor %}")
        assert str(caught.value) == (
            "main.j2:6: groups has no 'webservers': there are all, ungrouped, backends, haproxy, tomcat,"
            " and tag_<key>_<value>; a group is a value of the tag Type"
        )

    @pytest.mark.fault("F139")
    @pytest.mark.parametrize(
        ("end", "rendered"),
        [
            ("# {{ 1 }}\r\n\r\n", "# 1\n"),
            ("# {{ 1 }}\r", "# 1\n"),
            ("# {{ 1 }}\n\n", "# 1\n\n"),
        ],
    )
    def test_newlines_at_the_end_count_as_they_are_written(
        self, end: str, rendered: str
    ) -> None:
        """Ansible counts them before Jinja makes one kind of all."""
        assert text(end) == rendered

    @pytest.mark.fault("F139")
    @pytest.mark.parametrize(
        ("template", "rendered"),
        [
            ("# {{ blob }}", "# hello\n"),
            ("{% set l = [] %}# {{ l }}{{ l.append(1) }}{{ l }}", "# [][1]\n"),
            ("{% set l = [] %}{{ l }}{{ l.append(1) }}{{ l }}", "[][1]\n"),
            ("{% set x = alias %}# {{ x.append(1) }}{{ names }}{{ x }}", "# ['a']['a', 1]\n"),
            ("{% set x = names %}# {{ x.append(1) }}{{ names }}", "# ['a', 1]\n"),
        ],
    )  # fmt: skip
    def test_what_a_node_prints(self, template: str, rendered: str) -> None:
        """Bytes as text; a list as it is at that moment; a variable that repeats another one is its own."""
        variables: dict[str, Any] = {
            "blob": b"hello",
            "names": ["a"],
            "alias": "{{ names }}",
        }
        assert text(template, **variables) == rendered

    @pytest.mark.fault("F139")
    def test_a_template_of_one_newline(self) -> None:
        """It has nothing to render, and keeps what it has."""
        for source, rendered in {"\n": "\n", "a\r\n\r\n": "a\n\n", "a": "a"}.items():
            assert Engine("main.j2", {"main.j2": source}).render({}) == rendered

    @pytest.mark.fault("F41")
    def test_giant_output(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A cap, not the function's memory."""
        monkeypatch.setattr(output, "MAX_CHARACTERS", 1000)
        with pytest.raises(TemplateError, match="the output exceeds 1000 characters"):
            render(PLAYBOOK + "{% for i in range(99) %}{{ 'x' * 20 }}{% endfor %}")

    @pytest.mark.fault("F42")
    @pytest.mark.parametrize(
        "template",
        [
            "{{ ''.__class__.__mro__ }}",
            "{{ backends[0].__init__.__globals__ }}",
            "{{ '{0.__class__}'.format(1) }}x",
            "{{ (''|attr('__class__')) ~ '' }}",
            "{{ groups._index.fleet }}x",
            "{{ backends[0]._host.tags }}x",
            "{{ hostvars._world ~ '' }}",
            "{{ proxy._show.__func__ }}x",
            "{{ range.__self__ ~ '' }}",
        ],
    )
    def test_python_internals(self, template: str) -> None:
        """The sandbox holds."""
        with pytest.raises(TemplateError):
            render(PLAYBOOK + template)

    @pytest.mark.fault("F44")
    @pytest.mark.parametrize(
        "name", ["now()", "lipsum()", "[1, 2] | random", "[1, 2] | shuffle"]
    )
    def test_time_and_chance(self, name: str) -> None:
        """What would differ in every run is refused, with the reason."""
        with pytest.raises(TemplateError, match="differ in every run"):
            render(PLAYBOOK + "{{ " + name + " }}")

    @pytest.mark.fault("F44")
    def test_two_renders_are_equal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Should anything by chance slip through, two renders of one fleet give it away."""
        numbers = iter(range(99))
        monkeypatch.setitem(plugins.FILTERS, "upper", lambda _value: next(numbers))
        with pytest.raises(TemplateError, match="two renders of the same fleet differ"):
            render(PLAYBOOK + "{{ 'x' | upper }}{{ 1 }}")

    @pytest.mark.fault("F45")
    @pytest.mark.parametrize(
        "change",
        [lambda s: s.replace("\n", "\r\n"), lambda s: "\ufeff" + s, str.rstrip],
    )
    def test_editors_of_other_systems(self, change: Any) -> None:
        """CRLF, a byte order mark or a missing final newline change nothing in the config."""
        assert (
            render(change(PLAYBOOK)).configs[0].text == render(PLAYBOOK).configs[0].text
        )

    @pytest.mark.fault("F46")
    def test_no_listener(self) -> None:
        """`haproxy -c` warns, and a reload with it is a total outage; one for peers serves no client."""
        for instead in ("", "    # bind *:80\n", "peers p\n    bind *:80\nbackend b\n"):
            with pytest.raises(TemplateError, match="no listener"):
                render(PLAYBOOK.replace("    bind *:80\n", instead))

    @pytest.mark.fault("F46")
    @pytest.mark.parametrize(
        "loop",
        [
            "groups['backends'][:2]",
            "backends | rejectattr('zone', 'equalto', 'ap-southeast-2b')",
        ],
    )
    def test_a_backend_is_missing(self, loop: str) -> None:
        """Named by its instance id; how to allow it is said."""
        template = PLAYBOOK.replace("groups['backends']", loop)
        with pytest.raises(
            TemplateError,
            match=rf"1 of 3 backends .* i-{3:017x}; .*allow_missing_backends",
        ):
            render(template)
        assert (
            len(
                list(
                    servers(
                        render(template, allow_missing_backends=True).configs[0].text
                    )
                )
            )
            == 2
        )

    @pytest.mark.fault("F46")
    def test_other_servers_are_welcome(self) -> None:
        """A template may list servers that are no backends, and name backends in any way that finds them."""
        template = PLAYBOOK + "    server legacy 192.0.2.1:80 backup\n"
        assert len(list(servers(render(template).configs[0].text))) == 4
        by_address = (
            "listen a\n  bind :80\n"
            "{% for b in backends %}"
            "  server s{{ loop.index }} {{ b.address }}:1\n"
            "{% endfor %}"
        )
        assert len(list(servers(render(by_address).configs[0].text))) == 3

    @pytest.mark.parametrize(
        "call",
        ["lookup('env', 'HOME')", "query('file', '/etc/passwd')", "q('pipe', 'id')"],
    )
    def test_lookups(self, call: str) -> None:
        """The construct, the line and what to do instead; unread, it harms nobody."""
        with pytest.raises(
            TemplateError,
            match=r"main\.j2:6: lookup\('\w+'\) is not available: .*variables file",
        ):
            render(PLAYBOOK + "{{ " + call + " }}")
        with pytest.raises(
            TemplateError, match=r"main\.j2:6: variable secret: lookup\('\w+'\)"
        ):
            render(PLAYBOOK + "{{ secret }}", secret="{{ " + call + " }}")
        assert text("fine", unread="{{ " + call + " }}") == "fine\n"


@pytest.mark.fault("F36")
def test_five_thousand_backends() -> None:
    """One line for each, in order of instance id."""
    big = inventory.parse([instance(number) for number in range(1, 5001)], SETTINGS)
    names = [server.name for server in servers(render(PLAYBOOK, big).configs[0].text)]
    assert names == [backend.name for backend in big.backends]
    assert len(names) == 5000


def test_a_config_knows_its_digests() -> None:
    """As `md5sum` and `sha256sum` print them."""
    config = Config("a\n")
    assert config.md5 == "60b725f10c9c85c70d97880dfe8191b3"
    assert (
        config.sha256
        == "87428fc522803d31065e7bce3cf03fe475096631e5e07bbd7a0fde60c4cf25c7"
    )


def test_variables_are_not_changed_by_rendering() -> None:
    """A template may append to a list; the next run starts from the file again."""
    variables: Mapping[str, Any] = {"names": ["a"]}
    assert (
        text("{% set _ = names.append('b') %}{{ names }}", **variables)
        == "['a', 'b']\n"
    )
    assert variables == {"names": ["a"]}
