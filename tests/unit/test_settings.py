"""The environment is parsed once, whole, with every mistake named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haproxy_sync.errors import SettingsError
from haproxy_sync.settings import Limit, Settings, Variable

GOOD = {
    "ENVIRONMENT": "staging",
    "AWS_REGION": "ap-southeast-2",
    "BUCKET": "haproxy-backends-staging-config",
    "QUEUE_URL": "https://sqs.ap-southeast-2.amazonaws.com/123456789012/queue",
    "DOCUMENT_NAME": "haproxy-backends-staging-ApplyDocument-AbC123dEfGhI",
    "PUBLISHER": "arn:aws:cloudformation:ap-southeast-2:123456789012:stack/haproxy-backends-staging/"
    "0f3c1a60-cbd5-11f0-8f2e-0a1b2c3d4e5f",
}


def test_defaults_are_those_of_the_origin() -> None:
    """Without more than the stack's own names, the settings are the playbook's."""
    settings = Settings.from_env(GOOD)
    assert (settings.environment_tag_key, settings.type_tag_key) == (
        "Environment",
        "Type",
    )
    assert (settings.backend_tag_value, settings.proxy_tag_value) == (
        "tomcat",
        "haproxy",
    )
    assert (settings.backend_port, settings.listen_ports) == (8080, (80, 443))
    assert settings.config_path == "/etc/haproxy/haproxy.cfg"
    assert settings.canary


def test_minutes_may_be_fractions() -> None:
    """A local run can hold and compare within seconds."""
    settings = Settings.from_env(
        GOOD | {"HOLD_MINUTES": "0.2", "DRIFT_CHECK_MINUTES": "0.5"}
    )
    assert (settings.hold_seconds, settings.drift_check_seconds) == (12, 30)


def test_a_group_says_when_its_instances_join() -> None:
    """The other defaults of what comes and goes: a hook of ours by its name, and the two times."""
    settings = Settings.from_env(GOOD)
    assert settings.join_when == "in-service"
    assert settings.lifecycle_hook_prefix == "haproxy-ec2-sync"
    assert (settings.drain_seconds, settings.slow_start_seconds) == (90, 30)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("rate(1 minute)", 60),
        ("rate(2 minutes)", 120),
        ("rate(999 minutes)", 59940),
        ("rate(1 hour)", 3600),
    ],
)
def test_the_rate_of_the_sweep_is_known_in_seconds(text: str, seconds: int) -> None:
    """So that somebody can say that nobody looked."""
    assert Settings.from_env(GOOD | {"SWEEP_RATE": text}).sweep_seconds == seconds


@pytest.mark.fault("F17")
def test_every_bad_variable_is_named_at_once() -> None:
    """One error tells all that is missing or malformed."""
    bad = {
        "BACKEND_PORT": "70000",
        "LISTEN_PORTS": "80;443",
        "CANARY": "yes",
        "MAX_CONCURRENCY": "0",
        "MAX_LOSS_PERCENT": "101",
        "RELOAD_METHOD": "restart",
        "HOLD_MINUTES": "-1",
        "CONFIG_PATH": "/etc/../haproxy.cfg",
    }
    without = {key: value for key, value in GOOD.items() if key != "BUCKET"}
    with pytest.raises(SettingsError) as caught:
        Settings.from_env(without | bad)
    for name in [*bad, "BUCKET"]:
        assert name in str(caught.value)


def test_the_error_says_what_each_variable_should_be() -> None:
    """In the order of the fields, each with the text it has and the reason."""
    bad = {
        "QUEUE_URL": "queue",
        "BACKEND_PORT": "70000",
        "MAX_LOSS_PERCENT": "101",
        "EMPTY_POOL": "empty",
    }
    without = {key: value for key, value in GOOD.items() if key != "BUCKET"}
    with pytest.raises(SettingsError) as caught:
        Settings.from_env(without | bad | {"PROXY_TAG_VALUE": "tomcat"})
    assert str(caught.value).split("; ") == [
        "BUCKET is missing",
        r"QUEUE_URL='queue': must match https?://\S+",
        "BACKEND_PORT='70000': port '70000' is not allowed",
        "MAX_LOSS_PERCENT='101': must be 0 to 100",
        "EMPTY_POOL='empty': must be one of hold, publish",
        "BACKEND_TAG_VALUE and PROXY_TAG_VALUE are the same",
    ]


@pytest.mark.parametrize(
    "variable", Settings.variables().values(), ids=lambda variable: variable.name
)
def test_a_variable_that_is_not_set_is_its_default_or_missing(
    variable: Variable,
) -> None:
    """The stack's own names have no default; everything else has one that its parser takes."""
    if variable.default is None:
        with pytest.raises(SettingsError, match=f"^{variable.name} is missing$"):
            variable.read({})
    else:
        assert variable.read({}) == variable.parse(variable.default)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ENVIRONMENT", "stag*"),  # a wildcard of the EC2 filter
        ("ENVIRONMENT", "a/b"),
        ("ENVIRONMENT", ""),
        ("SWEEP_RATE", "rate(0 minutes)"),
        ("SWEEP_RATE", "cron(0 3 * * ? *)"),
        ("QUEUE_URL", "queue"),
        ("MAX_ERRORS", "ten"),
        ("MAX_CONCURRENCY", "101%"),
        ("LISTEN_PORTS", ",".join(["80"] * 16)),
        ("BACKEND_SUBNETS", "subnet-1,vpc-2"),
        ("BACKEND_PORT", "８０８０"),  # noqa: RUF001 # full-width digits are the point
        ("BACKEND_TAG_VALUE", "haproxy"),
        ("LIFECYCLE_HOOK_PREFIX", ""),  # every hook would be ours
        ("LIFECYCLE_HOOK_PREFIX", "haproxy.*"),
        ("SLOW_START_SECONDS", "0.5"),  # HAProxy's times are whole numbers
        ("JOIN_WHEN", "InService"),
    ],
)
def test_what_would_do_harm_later_is_refused_now(name: str, text: str) -> None:
    """A value that another service would read in its own way never gets there."""
    with pytest.raises(SettingsError, match=name):
        Settings.from_env(GOOD | {name: text})


@pytest.mark.parametrize(
    ("text", "total", "number"),
    [
        ("10", 3, 10),
        ("0", 5, 0),
        ("25%", 8, 2),
        ("25%", 7, 1),
        ("99%", 1, 0),
        ("0%", 9, 0),
        ("100%", 9, 9),
    ],
)
def test_a_limit_is_a_number_or_a_percentage_rounded_down(
    text: str, total: int, number: int
) -> None:
    """As Run Command counts; a number is not made smaller, for it means any fleet."""
    assert Limit.parse(text).of(total) == number


@given(
    st.builds(Limit, st.integers(0, 9_999_999))
    | st.builds(Limit, st.integers(0, 100), is_percent=st.just(value=True))
)
def test_a_limit_is_written_as_run_command_takes_it(limit: Limit) -> None:
    """And read back as the same."""
    assert Limit.parse(str(limit)) == limit


def test_the_text_of_a_limit_is_the_one_that_was_parsed() -> None:
    """`10` and `10%` are two limits."""
    texts = ["0", "10", "0%", "10%", "100%"]
    assert [str(Limit.parse(text)) for text in texts] == texts


@pytest.mark.parametrize("text", ["", "%", "-1", "1.5", "101%", "010", "10 %", "１０"])  # noqa: RUF001 # full-width digits
def test_what_run_command_would_refuse_is_no_limit(text: str) -> None:
    """The parser says what it takes."""
    with pytest.raises(SettingsError, match="must match"):
        Limit.parse(text)


@given(
    st.dictionaries(
        st.sampled_from([*GOOD, "BACKEND_PORT", "CANARY", "HOLD_MINUTES"]),
        st.text(max_size=40),
    )
)
def test_any_environment_is_parsed_or_refused(environ: dict[str, str]) -> None:
    """There is no third way out."""
    try:
        assert Settings.from_env(GOOD | environ).environment
    except SettingsError as error:
        assert str(error)  # noqa: PT017 # either way is right
