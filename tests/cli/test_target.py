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
