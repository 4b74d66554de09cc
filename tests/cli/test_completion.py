"""Shells complete commands and options, and every command explains itself."""

import subprocess

import pytest

from haproxy_ec2_sync.app import app
from tests.cli.conftest import Shell


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell(shell: Shell, name: str) -> None:
    """By the variable that click reads."""
    typed = shell("completion", name)
    assert (typed.status, typed.err) == (0, "")
    assert f"_HAPROXY_EC2_SYNC_COMPLETE={name}_complete" in typed.out


def test_bash_takes_the_script(shell: Shell) -> None:
    """And completes by it."""
    script = shell("completion", "bash").out
    asked = subprocess.run(
        ["bash", "--norc", "-c", f"{script}\ncomplete -p haproxy-ec2-sync"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert asked.stdout.endswith(" haproxy-ec2-sync\n")


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("haproxy-ec2-sync pl", "plan"),
        ("haproxy-ec2-sync plan --allow", "--allow-mass-removal"),
    ],
)
def test_what_is_typed_is_completed(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, words: str, offered: str
) -> None:
    """As the script asks the program."""
    monkeypatch.setenv("_HAPROXY_EC2_SYNC_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    with pytest.raises(SystemExit) as ended:
        shell()
    assert ended.value.code == 0
    assert shell.capture.readouterr().out == f"plain,{offered}\n"
    assert shell.asked == []


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("haproxy-ec2-sync status --env ", ["default", "staging", "production"]),
        ("haproxy-ec2-sync status --env s", ["staging"]),
        ("haproxy-ec2-sync wait --config-file none.toml --env ", []),
        ("haproxy-ec2-sync wait --config-file README.md --env ", []),
    ],
)
def test_environments_are_completed_from_the_file(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, words: str, offered: list[str]
) -> None:
    """And without one, nothing is; that is no error on somebody's prompt."""
    monkeypatch.setenv("_HAPROXY_EC2_SYNC_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
    with pytest.raises(SystemExit) as ended:
        shell()
    assert ended.value.code == 0
    said = shell.capture.readouterr()
    assert said.out.split() == [f"plain,{env}" for env in offered]
    assert said.err == ""


def test_an_unknown_shell_is_refused(shell: Shell) -> None:
    """With those that are known."""
    typed = shell("completion", "tcsh")
    assert typed.status == 1
    assert "'bash', 'zsh', 'fish'" in typed.err


@pytest.mark.parametrize("name", sorted(app.commands))
def test_every_command_shows_examples(shell: Shell, name: str) -> None:
    """Which begin with the program's name, and are not filled into a paragraph."""
    typed = shell(name, "--help")
    assert typed.status == 0
    examples = typed.out.split("Examples:\n")[1].splitlines()
    assert examples
    assert all(f"haproxy-ec2-sync {name}" in line for line in examples)
