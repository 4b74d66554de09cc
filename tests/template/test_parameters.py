"""Parameters reach the function as docs/architecture.md says, and bad ones are refused before anything is deployed."""

import json
import re
import sys
from pathlib import Path
from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haproxy_sync.errors import SettingsError
from haproxy_sync.settings import MAX_LISTEN_PORTS, MAX_PORT, Settings
from tests import settings_table
from tests.settings_table import Setting
from tests.template import translate
from tests.template.parameter_checks import java, refused, takes
from tests.template.parameter_values import BAD, GOOD
from tests.template.rules import others
from tests.template.stack import NO_VALUE, PSEUDO, Resolver, Stack, deployed
from tests.template.translate import Template

ARCHITECTURE = Path(__file__).parents[2] / "docs" / "architecture.md"


def environment(stack: Stack) -> dict[str, str]:
    """The function's environment, as Lambda gives it."""
    variables = stack.one("AWS::Lambda::Function")["Environment"]["Variables"]
    return {name: str(value) for name, value in variables.items()} | {
        "AWS_REGION": PSEUDO["AWS::Region"]
    }


def documented() -> dict[str, list[str]]:
    """Variables and default values of the list in docs/architecture.md, entry by entry."""
    section = (
        ARCHITECTURE.read_text()
        .split("## Environment of the function")[1]
        .split("\n## ")[0]
    )
    entries = re.findall(r"^- (`[A-Z_]+`), (.*):$", section, re.MULTILINE)
    return {name: re.findall("`([^`]*)`", default) for name, default in entries}


def test_environment_is_as_documented(staging: Stack) -> None:
    """The function gets the variables that the architecture lists, with the defaults it lists."""
    variables = environment(staging)
    listed = {
        name for names in documented() for name in re.findall("`([A-Z_]+)`", names)
    }
    assert {
        name for name in variables if not name.startswith(("POWERTOOLS_", "AWS_"))
    } == listed
    for names, defaults in documented().items():
        if defaults:
            assert [
                variables[name] for name in re.findall("`([A-Z_]+)`", names)
            ] == defaults


@pytest.mark.fault("F17")
def test_function_starts_on_defaults(staging: Stack) -> None:
    """The function reads its environment without a complaint, and template and code agree on every default."""
    settings = Settings.from_env(environment(staging))
    bare = Settings(
        environment="staging",
        region=settings.region,
        bucket=settings.bucket,
        queue_url=settings.queue_url,
        document_name=settings.document_name,
        publisher=settings.publisher,
    )
    assert settings == bare


SETTINGS = {
    setting.variable.name: setting
    for setting in settings_table.settings(translate.source())
}
FROM_PARAMETERS = [setting for setting in SETTINGS.values() if setting.parameter]


def of_kind(key: str) -> pytest.MarkDecorator:
    """For every setting whose parameter says this about itself."""
    chosen = [setting for setting in FROM_PARAMETERS if key in setting.parameter]
    return pytest.mark.parametrize(
        "setting", chosen, ids=lambda setting: setting.reference
    )


def test_the_list_is_what_fields_and_template_say(source: Template) -> None:
    """Otherwise: `PYTHONPATH=src python -m tests.settings_table` writes it anew."""
    text = settings_table.DOCUMENT.read_text()
    assert text == settings_table.rewritten(text, source)


def test_every_field_has_its_variable() -> None:
    """No field is without a variable, no variable without a field; the region is Lambda's own."""
    names = [variable.name for variable in Settings.variables().values()]
    assert sorted(names) == sorted([*SETTINGS, "AWS_REGION"])


def test_what_the_stack_knows_has_no_default() -> None:
    """A bucket or a queue of another stack would be worse than none."""
    required = {
        variable.name
        for variable in Settings.variables().values()
        if variable.default is None
    }
    made = {name for name, setting in SETTINGS.items() if not setting.parameter}
    assert required == made | {"ENVIRONMENT", "AWS_REGION"}


@pytest.mark.parametrize(
    "setting", FROM_PARAMETERS, ids=lambda setting: setting.reference
)
def test_field_and_parameter_have_one_default(setting: Setting) -> None:
    """Word for word; where the field has none, the parameter must be given, too."""
    assert setting.variable.default == (
        str(setting.parameter["Default"]) if "Default" in setting.parameter else None
    )


@of_kind("AllowedValues")
def test_the_parser_knows_the_allowed_values_and_no_others(setting: Setting) -> None:
    """Each means something of its own."""
    parsed = {
        setting.variable.parse(value) for value in setting.parameter["AllowedValues"]
    }
    assert len(parsed) == len(setting.parameter["AllowedValues"])
    with pytest.raises(
        SettingsError, match=", ".join(setting.parameter["AllowedValues"])
    ):
        setting.variable.parse("another")


@of_kind("MinValue")
def test_the_parser_takes_both_ends_of_the_range(setting: Setting) -> None:
    """And so what lies between them."""
    least, most = (
        setting.variable.parse(str(setting.parameter[end]))
        for end in ("MinValue", "MaxValue")
    )
    assert 0 <= least < most


@pytest.mark.parametrize(
    "setting",
    [each for each in FROM_PARAMETERS if "AllowedPattern" in each.parameter],
    ids=lambda setting: setting.reference,
)
@given(data=st.data())
def test_the_parser_takes_what_the_pattern_lets_pass(
    setting: Setting, data: st.DataObject
) -> None:
    """The function starts with whatever can be deployed."""
    pattern = java(setting.parameter["AllowedPattern"])
    setting.variable.parse(data.draw(st.from_regex(pattern, fullmatch=True)))


@given(ports=st.lists(st.integers(1, MAX_PORT), min_size=1, max_size=MAX_LISTEN_PORTS))
def test_pattern_and_parser_take_any_ports(ports: list[int], source: Template) -> None:
    """As many as iptables takes, all that exist."""
    text = ",".join(map(str, ports))
    assert takes(source["Parameters"]["ListenPorts"], text)
    assert SETTINGS["LISTEN_PORTS"].variable.parse(text) == tuple(ports)


def test_letters_and_digits_are_the_same_in_both_languages() -> None:
    r"""Python's `\w` is Java's `\p{L}`, `\p{N}` and the underscore, which every pattern with `\p` takes, too."""
    for character in map(chr, range(sys.maxunicode + 1)):
        is_word = re.fullmatch(r"\w", character) is not None
        assert is_word == (category(character)[0] in "LN" or character == "_")


@pytest.mark.fault("F114")
@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("BackendTagValue", "BACKEND_TAG_VALUE"),
        ("ProxyTagValue", "PROXY_TAG_VALUE"),
        ("Environment", "ENVIRONMENT"),
    ],
)
@given(
    text=st.text(max_size=12)
    | st.text(alphabet='aZ0 äßÿ÷жあ_+-=.:/@*?"${}\\\u00a0', max_size=12)
)
def test_pattern_and_parser_agree(
    name: str, variable: str, text: str, source: Template
) -> None:
    """What is refused before the deploy is what the function would refuse, and nothing else."""
    try:
        is_parsed = SETTINGS[variable].variable.parse(text) == text
    except SettingsError:
        is_parsed = False
    assert is_parsed == takes(source["Parameters"][name], text)


@pytest.mark.fault("F114")
@given(data=st.data())
def test_any_proxy_type_fits_into_the_policy(
    data: st.DataObject, source: Template
) -> None:
    """IAM refuses a policy with a character above U+00FF; a star or `${` would mean something there."""
    pattern = java(source["Parameters"]["ProxyTagValue"]["AllowedPattern"])
    value = data.draw(st.from_regex(pattern, fullmatch=True))
    assert re.fullmatch(r"[\u0020-\u00FF]{1,256}", value)
    assert not set(value) & set('*?$"\\{}')


@pytest.mark.fault("F114")
def test_the_policy_names_the_type_of_the_proxies(source: Template) -> None:
    """Whole, and compared letter by letter."""
    stack = deployed(source, Environment="staging", ProxyTagValue="Lastverteiler Süd/1")
    text = json.dumps(stack.of_type("AWS::IAM::Role"), ensure_ascii=False)
    assert '"ssm:resourceTag/Type": "Lastverteiler Süd/1"' in text
    assert "StringLike" not in text


@pytest.mark.fault("F114")
def test_who_names_an_environment_otherwise_is_told_why(source: Template) -> None:
    """By the template as by the function."""
    with pytest.raises(SettingsError, match=r"object keys.*IAM policies"):
        SETTINGS["ENVIRONMENT"].variable.parse("pre prod")
    said = source["Parameters"]["Environment"]["ConstraintDescription"]
    assert "object keys" in said
    assert "IAM policies" in said


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, values in GOOD.items() for value in values],
)
def test_good_value(name: str, value: str, source: Template) -> None:
    """What a stack may be deployed with, the function can start with."""
    assert takes(source["Parameters"][name], value)
    Settings.from_env(
        environment(deployed(source, **{"Environment": "staging", name: value}))
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, values in BAD.items() for value in values],
)
def test_bad_value(name: str, value: str, source: Template) -> None:
    """What would break an object key, a policy, a command or a filter is refused before the deploy."""
    assert not takes(source["Parameters"][name], value)


def test_elsewhere_every_parameter_is_another(source: Template) -> None:
    """So that a rule sees what is written out instead of referred to."""
    assert others().keys() == source["Parameters"].keys()
    for name, value in others().items():
        assert takes(source["Parameters"][name], value)
        assert value != str(source["Parameters"][name].get("Default", "staging"))


@pytest.mark.fault("F178")
@given(data=st.data())
def test_the_policy_is_attached_to_the_roles_that_are_named(
    data: st.DataObject, source: Template
) -> None:
    """To each of them; of none the property is left out, since an empty list is no list of roles."""
    pattern = java(source["Parameters"]["ProxyRoles"]["AllowedPattern"])
    roles = data.draw(st.from_regex(pattern, fullmatch=True))
    policy = Resolver(
        {"ProxyRoles": roles},
        {},
        {"HasProxyRoles": bool(roles)},
    ).resolve(source["Resources"]["ProxyPolicy"]["Properties"]["Roles"])
    assert policy == (roles.split(",") if roles else NO_VALUE)


@pytest.mark.fault("F178")
@pytest.mark.parametrize(
    ("roles", "attached"), [("", None), ("lb", ["lb"]), ("lb,edge", ["lb", "edge"])]
)
def test_roles_of_the_deployed_policy(
    roles: str, attached: list[str] | None, source: Template
) -> None:
    """As CloudFormation decides the condition."""
    stack = deployed(source, Environment="staging", ProxyRoles=roles)
    assert stack.one("AWS::IAM::ManagedPolicy").get("Roles") == attached


@pytest.mark.fault("F180")
@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({}, []),
        ({"EnvironmentTagKey": "Type"}, ["EnvironmentTagKey", "TypeTagKey"]),
        ({"TypeTagKey": "Environment"}, ["EnvironmentTagKey", "TypeTagKey"]),
        ({"ProxyTagValue": "tomcat"}, ["BackendTagValue", "ProxyTagValue"]),
        ({"SecretKeys": "arn:..."}, ["SecretKeys", "SecretArns"]),
        ({"SecretKeys": "arn:...", "SecretArns": "arn:..."}, []),
    ],
)
def test_parameters_that_do_not_fit_together_are_refused(
    parameters: dict[str, str], named: list[str], staging: Stack
) -> None:
    """By a rule, so before anything is made: tags that say two things, keys of nothing; it names both parameters."""
    said = refused(staging, parameters)
    assert [name for text in said for name in named if name in text] == named
    assert len(said) == (1 if named else 0)
