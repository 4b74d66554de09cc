"""Which stack a command is about."""

from pathlib import Path

import pytest

from tests.cli.conftest import Shell


def test_a_table_of_samconfig_names_stack_and_region(shell: Shell) -> None:
    """As for SAM's own `--config-env`."""
    assert shell("status", "--env", "staging").status == 0
    (target,) = shell.targets
    assert (target.stack_name, target.region) == (
        "haproxy-ec2-sync-staging",
        "ap-southeast-2",
    )


def test_an_unknown_table_is_named_with_those_that_are_known(shell: Shell) -> None:
    """In one line, and nothing is asked."""
    typed = shell("status", "--env", "stagign")
    assert typed.status == 1
    assert typed.err == (
        "haproxy-ec2-sync: samconfig.toml names no stack for 'stagign', but for: "
        "default, staging, production; give --env or --stack-name\n"
    )
    assert shell.targets == []


def test_without_a_file_a_stack_has_to_be_named(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or its name is enough."""
    monkeypatch.chdir(tmp_path)
    assert "give --stack-name and --region" in shell("status").err
    assert shell("status", "--stack-name", "mine", "--region", "eu-west-1").status == 0
    assert shell.targets[-1].stack_name == "mine"


@pytest.mark.parametrize("words", [("statsu",), ("status", "--no-such"), ()])
def test_wrong_use_is_one_line_and_exit_code_1(
    shell: Shell, words: tuple[str, ...]
) -> None:
    """Not click's 2, which is the code of a plan with changes."""
    typed = shell(*words)
    assert typed.status == (1 if words else 0)
    assert len(typed.err.splitlines()) == (1 if words else 0)


def test_a_variable_of_the_environment_stands_for_an_option(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for each command; what is typed wins."""
    monkeypatch.setenv("HAPROXY_EC2_SYNC_ENV", "production")
    monkeypatch.setenv("HAPROXY_EC2_SYNC_REGION", "eu-west-1")
    assert shell("status").status == 0
    assert shell("status", "--env", "staging").status == 0
    assert [(target.stack_name, target.region) for target in shell.targets] == [
        ("haproxy-ec2-sync-production", "eu-west-1"),
        ("haproxy-ec2-sync-staging", "eu-west-1"),
    ]


@pytest.mark.parametrize(
    "option", ["--env", "--stack-name", "--region", "--profile", "--endpoint-url"]
)
def test_an_empty_option_is_no_wish_for_the_default(shell: Shell, option: str) -> None:
    """A script's variable that nobody set must not mean another stack than the one that was to be named."""
    typed = shell("freeze", option, "")
    assert typed.status == 1
    assert f"Invalid value for '{option}'" in typed.err
    assert len(typed.err.splitlines()) == 1
    assert shell.targets == []


@pytest.mark.parametrize(
    "words",
    [
        ("wait", "--timeout", "nan"),
        ("wait", "--timeout", "inf"),
        ("wait", "--generation", "0"),
        ("status", "--fresh", "--timeout", "nan"),
        ("status", "--watch", "nan"),
        ("freeze", "--minutes", "nan"),
        ("rollback", "1", "--yes", "--minutes", "inf"),
    ],
)
def test_a_number_that_no_clock_reaches_is_wrong_use(
    shell: Shell, words: tuple[str, ...]
) -> None:
    """It is below no limit: such a wait would never end."""
    typed = shell(*words)
    assert typed.status == 1
    assert f"Invalid value for '{words[-2]}'" in typed.err
    assert shell.asked == []


SAMCONFIG = """version = 0.1
[both.global.parameters]
stack_name = "everybody"
region = "eu-west-1"
[both.deploy.parameters]
stack_name = "deployed"
["odd name.1".deploy.parameters]
stack_name = "odd"
[asked.remote_invoke.parameters]
stack_name = "asked"
[empty.global.parameters]
stack_name = ""
[flat]
stack_name = "of no command"
"""


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_tables_as_sam_deploys_them(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mark: str
) -> None:
    """A command's own table wins over that of all commands; a byte order mark is no content."""
    monkeypatch.chdir(tmp_path)
    Path("samconfig.toml").write_text(f"{mark}{SAMCONFIG}", encoding="utf-8")
    for env in ("both", "odd name.1", "asked"):
        assert shell("status", "--env", env).status == 0
    assert [(target.stack_name, target.region) for target in shell.targets] == [
        ("deployed", "eu-west-1"),
        ("odd", None),
        ("asked", None),
    ]
    for env in ("empty", "flat", "version", "default"):
        typed = shell("status", "--env", env)
        assert typed.status == 1
        assert "but for: both, odd name.1, asked;" in typed.err


def test_yaml_is_not_read_and_that_is_said(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SAM reads it where there is no TOML."""
    monkeypatch.chdir(tmp_path)
    Path("samconfig.yaml").write_text("version: 0.1\n")
    assert "SAM's YAML files are not read" in shell("status").err
    typed = shell("status", "--config-file", "samconfig.yaml")
    assert typed.err.startswith(
        "haproxy-ec2-sync: samconfig.yaml cannot be read as TOML: "
    )
    assert len(typed.err.splitlines()) == 1
