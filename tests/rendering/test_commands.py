"""`python -m local.render` and `python -m local.template_test`, as somebody at a desk runs them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from haproxy_sync.config import sources
from local.template_test import main as template_test
from tests.fleet import instance

ROOT = Path(__file__).parents[2]
GOOD = (sources.PACKAGE / "templates" / sources.MAIN).read_text()
PLAYBOOK = """listen app
    bind *:80
{% for backend in groups['backends'] %}
    server {{ backend }} {{ backend }}:8080 check observe layer7
{% endfor %}
"""


def render(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    command = [sys.executable, "-m", "local.render", *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A template with an include, variables, and the fleet as the AWS CLI prints it."""
    (tmp_path / "haproxy.cfg.j2").write_text(
        PLAYBOOK + "{% include 'parts/end.j2' %}\n"
    )
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "end.j2").write_text(
        "# {{ note }} for {{ inventory_hostname }}\n"
    )
    (tmp_path / "vars.yml").write_text("note: 'rendered in {{ ec2_region }}'\n")
    instances = [
        instance(1),
        instance(2),
        instance(8, "haproxy"),
        instance(9, "haproxy"),
    ]
    stopped = instance(3, State={"Name": "stopped"})
    answer = {
        "Reservations": [
            {"Instances": instances[:2]},
            {"Instances": [*instances[2:], stopped]},
        ]
    }
    (tmp_path / "fleet.json").write_text(json.dumps(answer))
    return tmp_path


def test_the_config_of_a_proxy(desk: Path) -> None:
    """Only the config goes to standard output, for the proxy that was asked for."""
    files = (
        desk / "haproxy.cfg.j2",
        "--instances",
        desk / "fleet.json",
        "--vars",
        desk / "vars.yml",
    )
    run = render(*files, "--proxy", f"i-{9:017x}")
    assert run.returncode == 0, run.stderr
    assert run.stdout == (
        "listen app\n"
        "    bind *:80\n"
        "    server ip-10-0-0-2 ip-10-0-0-2:8080 check observe layer7\n"
        "    server ip-10-0-0-3 ip-10-0-0-3:8080 check observe layer7\n"
        "# rendered in ap-southeast-2 for 10.0.0.10\n"
    )
    first = render(*files)
    assert first.stdout.endswith("for 10.0.0.9\n")
    assert "2 different configs" in first.stderr


def test_a_mistake_is_said_on_standard_error(desk: Path) -> None:
    """File, line and name; no half config; exit code 1."""
    run = render(desk / "haproxy.cfg.j2", "--instances", desk / "fleet.json")
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr == "error: parts/end.j2:1: 'note' is undefined\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--proxy", "i-1"], "--proxy i-1 is no proxy of this environment: i-0"),
        (
            ["--environment", "nowhere"],
            "the template reads the host it is rendered for, and there is no proxy",
        ),
    ],
)
def test_arguments_that_do_not_fit(
    desk: Path, arguments: list[str], message: str
) -> None:
    """What is wrong, and what would do."""
    files = (
        desk / "haproxy.cfg.j2",
        "--instances",
        desk / "fleet.json",
        "--vars",
        desk / "vars.yml",
    )
    run = render(*files, *arguments)
    assert run.returncode == 1
    assert message in run.stderr


def test_a_file_that_is_no_fleet(desk: Path) -> None:
    """The file is named, with what it should be."""
    run = render(desk / "haproxy.cfg.j2", "--instances", desk / "vars.yml")
    assert run.returncode == 1
    assert "not what `aws ec2 describe-instances` prints" in run.stderr


def test_a_file_that_is_not_there(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named, and no number is said."""
    missing = desk / "missing.j2"
    assert template_test([str(missing)]) == 1
    assert capsys.readouterr().out == f"FAIL {missing}: No such file or directory\n"
    done = render(desk / "haproxy.cfg.j2", "--instances", missing)
    assert done.stderr == f"error: {missing}: No such file or directory\n"


def test_two_environments_need_a_choice(desk: Path) -> None:
    """A file of the whole account: the command does not guess."""
    other = instance(30, Tags=[{"Key": "Environment", "Value": "production"}])
    (desk / "fleet.json").write_text(
        json.dumps({"Reservations": [{"Instances": [instance(1), other]}]})
    )
    run = render(desk / "haproxy.cfg.j2", "--instances", desk / "fleet.json")
    assert run.returncode == 1
    assert "--environment: one of production, staging" in run.stderr


def test_what_would_not_be_published_is_still_shown(desk: Path) -> None:
    """A fragment can be tried; why it is no config is said."""
    (desk / "fragment.j2").write_text("{{ groups.backends }}")
    run = render(desk / "fragment.j2", "--instances", desk / "fleet.json")
    assert run.returncode == 0
    assert run.stdout == "['ip-10-0-0-2', 'ip-10-0-0-3']"
    assert "would not be published: the config has no listener" in run.stderr
    assert "the function appends one" in run.stderr


def test_template_test_passes_a_good_template(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And has nothing to say about it but what it cannot see."""
    (tmp_path / "haproxy.cfg.j2").write_text(GOOD)
    assert template_test([str(tmp_path / "haproxy.cfg.j2")]) == 0
    assert capsys.readouterr().out == (
        "note the proxy's own, not looked at: /etc/haproxy/certs\n"
        "haproxy.cfg.j2: ok, 6 fleets\n"
    )


def test_template_test_says_where_haproxy_may_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line, no traceback, for somebody whose PATH lacks /usr/sbin."""
    (tmp_path / "haproxy.cfg.j2").write_text(GOOD)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert template_test([str(tmp_path / "haproxy.cfg.j2")]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("FAIL no haproxy on PATH")


def test_template_test_names_the_price_of_what_is_absent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The fragment of the Ansible playbook this replaces works, and costs at every reload."""
    (tmp_path / "playbook.j2").write_text(PLAYBOOK)
    assert template_test([str(tmp_path / "playbook.j2")]) == 0
    printed = capsys.readouterr().out
    for name in ("hard-stop-after", "close-spread-time", "stats socket", "slowstart"):
        assert f"warn no {name}: " in printed


def test_template_test_says_what_a_check_before_traffic_needs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line, and no more than what is missing; with what it asks for there is nothing to say."""
    before = "warn a reload gives traffic to servers before a good check"
    state_file = "server-state-file /var/lib/haproxy-ec2-sync/server-state"
    load = "load-server-state-from-file global"
    lines = {"global": "", "defaults": "", "server": " check observe layer7"}

    def said(**more: str) -> str:
        parts = lines | more
        text = PLAYBOOK.replace(" check observe layer7", parts["server"])
        head = f"global\n{parts['global']}\ndefaults\n{parts['defaults']}\n"
        (tmp_path / "playbook.j2").write_text(head + text)
        assert template_test([str(tmp_path / "playbook.j2")]) == 0
        printed = capsys.readouterr().out.splitlines()
        return "\n".join(line for line in printed if line.startswith(before))

    assert f"add `{state_file}` to `global`, `{load}` to `defaults` [" in said()
    assert f"add `{load}` to `defaults` [" in said(**{"global": state_file})
    assert "`check` to the server lines [" in said(server="")
    both = {"global": state_file, "defaults": load}
    assert said(**both) == ""
    assert "add `check` to the server lines [" in said(**both, server="")


def test_template_test_says_that_drains_are_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A draining backend is left out then."""
    (tmp_path / "playbook.j2").write_text(PLAYBOOK)
    assert template_test([str(tmp_path / "playbook.j2")]) == 0
    assert "warn the template does not show who drains" in capsys.readouterr().out
    shown = GOOD.replace("{% if b.drain %} weight 0", "{% if false %} weight 0")
    (tmp_path / "haproxy.cfg.j2").write_text(shown)
    assert template_test([str(tmp_path / "haproxy.cfg.j2")]) == 0
    assert "does not show who drains" not in capsys.readouterr().out


def test_template_test_compares_the_drain_with_close_spread_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the default of the parameter, or the one that is given."""
    (tmp_path / "haproxy.cfg.j2").write_text(GOOD)
    path = str(tmp_path / "haproxy.cfg.j2")
    for more, is_said in (((), False), (("--drain-seconds", "69"), True)):
        assert template_test([path, *more]) == 0
        assert ("warn DrainSeconds is 69" in capsys.readouterr().out) == is_said


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("balance {{", "ballance {{"), "haproxy -c: unknown keyword 'ballance'"),
        (
            ("{% for b in backends %}", "{% for b in backends[:2] %}"),
            "backends are in no server line",
        ),
        (("{{ b.port }}", "{{ b.prot }}"), "has no attribute 'prot'"),
        (("{{ b.name }}", "app"), "another server named"),
        (("    bind {{", "    # {{"), "no listener"),
        (
            (
                "backend application\n",
                "backend application\n    # {{ backends[0].name }}\n",
            ),
            "list has no item 0 [0 backends",
        ),
    ],
)
def test_template_test_catches(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: tuple[str, str],
    message: str,
) -> None:
    """Seeded mistakes, each of which some fleet brings to light."""
    assert change[0] in GOOD
    (tmp_path / "haproxy.cfg.j2").write_text(GOOD.replace(*change))
    assert template_test([str(tmp_path / "haproxy.cfg.j2")]) == 1
    printed = capsys.readouterr().out
    assert "FAIL " in printed
    assert message in printed
