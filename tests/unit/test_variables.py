"""The variables file: Ansible's YAML, and errors with file, line and name."""

import pytest

from haproxy_sync.config.render import render_unchecked
from haproxy_sync.config.sources import TemplateSet
from haproxy_sync.config.variables import parse_variables
from haproxy_sync.errors import TemplateError
from haproxy_sync.fleet import inventory
from haproxy_sync.settings import Settings
from tests.fleet import instance

SETTINGS = Settings(
    "staging", "ap-southeast-2", "bucket", "https://queue", "document", "stack"
)


def render(template: str, variables: str) -> str:
    """The text of a template with a variables file."""
    fleet = inventory.parse([instance(1), instance(2, "haproxy")], SETTINGS)
    source = TemplateSet("t.j2", {"t.j2": template})
    rendering = render_unchecked(
        source, parse_variables(variables, "vars/staging.yml"), fleet, SETTINGS
    )
    return rendering.configs[0].text


@pytest.mark.parametrize("text", ["", "---\n", "# nothing\n", "---\n# nothing\n...\n"])
def test_an_empty_file_has_no_variables(text: str) -> None:
    """As Ansible reads it."""
    assert parse_variables(text, "f") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1\nb: 2\n", r"^f:2: "),
        ("a: 1\n\tb: 2\n", r"^f:2: "),
        ("- a\n- b\n", r"^f:1: variables are a mapping .* not a list"),
        ("just text\n", r"^f:1: variables are a mapping"),
        ("a: 1\nansible_host: 10.0.0.1\n", r"^f: ansible_host comes from EC2"),
        ("ec2_tag_Name: x\n", r"^f: ec2_tag_Name comes from EC2"),
        ("groups: {}\n", r"^f: groups comes from EC2"),
        (
            "host_vars: {h: {inventory_hostname: x}}\n",
            r"^f: inventory_hostname comes from EC2",
        ),
        ("group_vars: [a]\n", r"^f: group_vars is a mapping, not a list"),
        ("group_vars: {tomcat: 5}\n", r"^f: group_vars.tomcat is a mapping, not a int"),
        ("my-name: 1\n", r"^f: 'my-name' is not a variable name"),
        ("1: 1\n", r"^f: 1 is not a variable name"),
        (
            "a: !!python/object/apply:os.system [id]\n",
            r"^f:1: could not determine a constructor",
        ),
        (
            "$ANSIBLE_VAULT;1.1;AES256\n6162\n",
            r"^f:1: it is encrypted with Ansible Vault",
        ),
    ],
)
def test_a_broken_file_says_where(text: str, message: str) -> None:
    """File, line where YAML knows it, name."""
    with pytest.raises(TemplateError, match=message):
        parse_variables(text, "f")


def test_a_vault_value_is_an_error_only_when_it_is_read() -> None:
    """With the file, the line and the name of the value."""
    variables = "user: u\nauth:\n  password: !vault |\n    $ANSIBLE_VAULT;1.1;AES256\n    6162\n"
    assert render("{{ user }}", variables) == "u\n"
    with pytest.raises(
        TemplateError, match=r"^vars/staging\.yml:3: auth\.password: it is encrypted"
    ):
        render("{{ auth.password }}", variables)


def test_unsafe_text_is_no_template() -> None:
    """`!unsafe` keeps its braces."""
    assert (
        render("{{ a }} {{ b.c }}", "a: !unsafe '{{ x }}'\nb: {c: !unsafe '{% y %}'}\n")
        == "{{ x }} {% y %}\n"
    )


def test_empty_groups_of_variables_are_fine() -> None:
    """A key that somebody prepared and left empty."""
    assert render("{{ a }}", "a: 1\ngroup_vars:\nhost_vars:\n  x:\n") == "1\n"
