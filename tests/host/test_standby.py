"""A HAProxy that is stopped on purpose: its file is checked as it would be started, or not judged at all."""

from collections.abc import Callable

import pytest

from local.lab import BackendHost, ProxyHost, Style
from tests.host.apply_step import CONFIG, ApplyStep, StepReport, config

type MakeProxy = Callable[..., ProxyHost]

OTHER = "backend other\n    mode http\n    timeout connect 1s\n    timeout server 1s\n"
MORE = "/etc/haproxy/conf.d"
NOTE = "not-checked-with-its-other-files"
DROP_IN = "/etc/systemd/system/haproxy.service.d/10-more.conf"
DEFAULTS = "/etc/default/haproxy"


def needing_more(*hosts: BackendHost) -> str:
    """A config that is none without its second file and its variable."""
    return (
        config(*hosts)
        .replace(
            "    default_backend",
            "    use_backend other if { path /o }\n    default_backend",
        )
        .replace("timeout connect 2s", 'timeout connect "${CONNECT}"')
    )


def wrong(text: str) -> str:
    """The same with a mistake."""
    return text.replace("roundrobin", "nonsense")


def judge(proxy: ProxyHost, text: str) -> StepReport:
    """What a stopped one says to a good file, having refused one with a mistake; a check says the same."""
    step = ApplyStep(proxy)
    for action, outcome in (("check", "checked"), ("apply", "failed")):
        answer = step.run(wrong(text), Action=action)
        assert (answer["outcome"], answer["reason"]) == (outcome, "invalid-config")
        assert "balance" in answer["detail"]
    answer = step.run(text, Action="check")
    assert (answer["would"], answer["notes"]) == ("differs", ""), answer
    answer = step.run(text)
    assert answer.says("not-running", "stopped"), answer
    assert proxy.read(CONFIG) == text
    assert not proxy.processes()
    return answer


def run_and_stop(proxy: ProxyHost, backends: tuple[BackendHost, ...]) -> None:
    """It ran, and a change was installed then."""
    proxy.start(needing_more(backends[0]))
    assert ApplyStep(proxy).run(needing_more(*backends[:2])).says("installed")
    proxy.stop()


WAYS: dict[str, dict[str, str]] = {
    "options in the defaults": {
        DEFAULTS: f'EXTRAOPTS="-S /run/haproxy-master.sock -f {MORE}"\nCONNECT=2s\n'
    },
    "a command of a drop-in": {
        DROP_IN: "[Service]\n"
        f"ExecStart=/usr/sbin/haproxy -W -f $CONFIG -f ${{MORE}}/%n -p $PIDFILE $NONE\n"
        f"Environment=MORE={MORE}\nEnvironmentFile=-/etc/none\nEnvironmentFile=/etc/haproxy/variables\n",
        "/etc/haproxy/variables": "# a comment\n; another\nCONNECT='2s'\n",
        f"{MORE}/haproxy.service/other.cfg": OTHER,
    },
    "variables of a drop-in": {
        DROP_IN: f'[Service]\nEnvironment="EXTRAOPTS=-f {MORE}"\nEnvironment=CONNECT=2s\n'
    },
}


@pytest.mark.fault("F218")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("has_run", [False, True], ids=["new", "stopped"])
def test_the_unit_says_how_it_would_be_started(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], way: str, *, has_run: bool
) -> None:
    """Whether or not it ever ran: files, options and variables are those of the unit."""
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.write(f"{MORE}/other.cfg", OTHER)
    for path, content in WAYS[way].items():
        proxy.write(path, content)
    if has_run:
        run_and_stop(proxy, backends)
    judge(proxy, needing_more(*backends))
    proxy.start()


@pytest.mark.fault("F218")
def test_what_the_unit_says_now_wins(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """It ran without a second file; the next start has one."""
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.start(config(backends[0]))
    assert ApplyStep(proxy).run(config(*backends[:2])).says("installed")
    proxy.stop()
    proxy.write(f"{MORE}/other.cfg", OTHER)
    proxy.write(DEFAULTS, f"EXTRAOPTS=-f {MORE}\nCONNECT=2s\n")
    judge(proxy, needing_more(*backends))


@pytest.mark.fault("F218")
def test_what_the_unit_passes_on_is_a_variable(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """Systemd has it of its own, and gives it to the unit; what the unit itself sets wins."""
    proxy = make_proxy(Style.MASTER_WORKER)
    proxy.write(f"{MORE}/other.cfg", OTHER)
    proxy.write("/run/environ", f"CONNECT=2s\0EXTRAOPTS=-f /none\0MORE={MORE}\0")
    proxy.run(["mount", "--bind", "/run/environ", "/proc/1/environ"])
    proxy.write(
        DROP_IN,
        "[Service]\nPassEnvironment=CONNECT NONE\nPassEnvironment=MORE EXTRAOPTS\n"
        "ExecStart=/usr/sbin/haproxy -W -f $CONFIG -f $MORE -p $PIDFILE $EXTRAOPTS\n",
    )
    judge(proxy, needing_more(*backends))
    proxy.start()


@pytest.mark.fault("F218")
@pytest.mark.parametrize("form", ["name", "number"])
def test_the_check_is_that_of_the_units_user(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], form: str
) -> None:
    """A file that root may read, and it may not."""
    proxy = make_proxy(Style.MASTER_WORKER)
    number = proxy.run(["id", "-u", "haproxy"]).stdout.strip()
    user = number if form == "number" else "haproxy"
    proxy.write(DROP_IN, f"[Service]\nUser={user}\nWorkingDirectory=/etc/haproxy\n")
    proxy.write("/etc/haproxy/paths", "/a\n", mode=0o600)
    text = config(*backends).replace(
        "    default_backend",
        "    use_backend app if { path -f paths }\n    default_backend",
    )
    for line in (
        "    chroot /var/lib/haproxy\n",
        "    user haproxy\n",
        "    group haproxy\n",
    ):
        text = text.replace(line, "")
    step = ApplyStep(proxy)
    answer = step.run(text)
    assert answer.says("failed", "invalid-config"), answer
    proxy.path("/etc/haproxy/paths").chmod(0o644)
    assert step.run(text).says("not-running", "stopped")


@pytest.mark.fault("F218")
@pytest.mark.parametrize("has_run", [False, True], ids=["new", "stopped"])
def test_the_init_scripts_defaults_say_it(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], *, has_run: bool
) -> None:
    """Without systemd; the file is read, and never executed."""
    proxy = make_proxy(Style.SYSV)
    proxy.write(f"{MORE}/other.cfg", OTHER)
    proxy.write(
        DEFAULTS,
        f'# more, på Ånd\nexport CONNECT="2s"\nEXTRAOPTS="-f {MORE}" # and so on\n',
    )
    if has_run:
        run_and_stop(proxy, backends)
    judge(proxy, needing_more(*backends))
    proxy.start()


@pytest.mark.fault("F218")
@pytest.mark.parametrize("style", [Style.SYSV, Style.MASTER_WORKER])
def test_a_value_with_letters_that_are_not_ascii(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], style: Style
) -> None:
    """HAProxy gets the bytes of the file of defaults."""
    proxy = make_proxy(style)
    proxy.write("/etc/haproxy/på/503.http", "HTTP/1.0 503 -\r\n\r\n")
    export = "export " if style is Style.SYSV else ""
    proxy.write(DEFAULTS, f'{export}PAGES="/etc/haproxy/på"\n')
    page = 'frontend web\n    errorfile 503 "${PAGES}/503.http"\n'
    answer = ApplyStep(proxy).run(config(*backends).replace("frontend web\n", page))
    assert answer.says("not-running", "stopped"), answer


FOLDER = "/etc/haproxy/Åvoilà"
"""Of its bytes, read as Latin-1, one is a blank to Python, and one the end of a line."""
BY_VARIABLE = "ExecStart=/usr/sbin/haproxy -W -f $CONFIG -f ${MORE} -p $PIDFILE\n"
LETTERS: dict[str, tuple[Style, str, str]] = {
    "script": (
        Style.SYSV,
        DEFAULTS,
        f'export CONNECT=2s\nEXTRAOPTS="-q -f {FOLDER}"\n',
    ),
    "defaults": (
        Style.MASTER_WORKER,
        DEFAULTS,
        f'CONNECT=2s\nEXTRAOPTS="-q -f {FOLDER}"\n',
    ),
    "command": (
        Style.MASTER_WORKER,
        DROP_IN,
        f"[Service]\nEnvironment=CONNECT=2s\nExecStart=/usr/sbin/haproxy -W -f $CONFIG -f {FOLDER} -p $PIDFILE\n",
    ),
    "variable": (
        Style.MASTER_WORKER,
        DROP_IN,
        f"[Service]\nEnvironment=MORE={FOLDER}\nEnvironment=CONNECT=2s\n{BY_VARIABLE}",
    ),
}


@pytest.mark.fault("F250")
@pytest.mark.parametrize("where", LETTERS)
def test_a_word_with_letters_that_are_not_ascii(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], where: str
) -> None:
    """Words of a command line are what blanks separate, and HAProxy gets their bytes."""
    style, path, content = LETTERS[where]
    proxy = make_proxy(style)
    proxy.write(f"{FOLDER}/other.cfg", OTHER)
    proxy.write(path, content)
    judge(proxy, needing_more(*backends))


@pytest.mark.fault("F251")
def test_a_units_script_of_haproxys_name_is_not_executed(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """What it makes of its words, only it knows."""
    proxy = make_proxy(Style.MASTER_WORKER)
    script = "/usr/local/bin/haproxy-run.sh"
    text = '#!/bin/sh\ntouch /run/executed\nexec haproxy "$@"\n'
    proxy.write(script, text, mode=0o755)
    proxy.write(DROP_IN, f"[Service]\nExecStart={script} -f $CONFIG -p $PIDFILE\n")
    answer = ApplyStep(proxy).run(needing_more(*backends))
    assert answer.says("not-running", "stopped"), answer
    assert NOTE in answer["notes"].split()
    assert not proxy.path("/run/executed").exists()


@pytest.mark.fault("F218")
def test_how_it_ran_last_is_remembered(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """Started by somebody's own script, of which nobody else knows."""
    proxy = make_proxy(Style.DAEMON)
    proxy.write(f"{MORE}/other.cfg", OTHER)
    proxy.write(CONFIG, needing_more(backends[0]))
    command = ["env", "CONNECT=2s", "haproxy", "-D", "-f", CONFIG, "-f", MORE]
    proxy.run([*command, "-p", "/run/haproxy.pid"])
    proxy.wait_until_ready()
    assert ApplyStep(proxy).run(needing_more(*backends[:2])).says("installed")
    proxy.stop()
    judge(proxy, needing_more(*backends))
    assert proxy.path("/var/lib/haproxy-ec2-sync/last-run").stat().st_mode & 0o77 == 0


UNKNOWN: dict[str, tuple[Style, str, str]] = {
    "a script that has to be executed": (
        Style.SYSV,
        DEFAULTS,
        'EXTRAOPTS="$(touch /run/executed; echo -f conf.d)"\n',
    ),
    "a long name, and a value to be expanded": (
        Style.SYSV,
        DEFAULTS,
        'THE_NAME_OF_SOME_VARIABLE_OF_OUR_OWN="$HOME"\n',
    ),
    "a line that is no assignment": (Style.SYSV, DEFAULTS, "touch /run/executed\n"),
    "a unit with a wrapper": (
        Style.MASTER_WORKER,
        DROP_IN,
        "[Service]\nExecStart=/bin/sh -c /usr/local/bin/start-haproxy\n",
    ),
    "a file that has to be there": (
        Style.MASTER_WORKER,
        DROP_IN,
        "[Service]\nEnvironmentFile=/etc/haproxy/none\n",
    ),
    "another config": (
        Style.MASTER_WORKER,
        DROP_IN,
        "[Service]\nEnvironment=CONFIG=/etc/haproxy/another.cfg\n",
    ),
}


@pytest.mark.fault("F218")
@pytest.mark.parametrize("why", UNKNOWN)
def test_what_nobody_knows_is_no_failure(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], why: str
) -> None:
    """The file is installed, and a note says that it was not checked as it will be read; nothing is executed."""
    style, path, content = UNKNOWN[why]
    proxy = make_proxy(style)
    proxy.write(path, content)
    step = ApplyStep(proxy)
    for action in ("check", "apply"):
        answer = step.run(needing_more(*backends), Action=action)
        assert answer.status == 0, answer
        assert NOTE in answer["notes"], answer
    assert answer.says("not-running", "stopped"), answer
    assert not proxy.path("/run/executed").exists()
    answer = step.run(config(*backends))
    assert answer.says("not-running", "stopped"), answer
    assert answer["notes"] == ""


@pytest.mark.fault("F218")
@pytest.mark.parametrize("why", UNKNOWN)
def test_what_nobody_knows_any_more_is_not_how_it_ran_last(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], why: str
) -> None:
    """Who started it then will start it otherwise; a file that was right then may be wrong, and the other way round."""
    style, path, content = UNKNOWN[why]
    proxy = make_proxy(style)
    proxy.write(f"{MORE}/other.cfg", OTHER)
    export = "export " if style is Style.SYSV else ""
    proxy.write(DEFAULTS, f'{export}CONNECT=2s\nEXTRAOPTS="-f {MORE}"\n')
    run_and_stop(proxy, backends)
    proxy.write(path, content)
    answer = ApplyStep(proxy).run(needing_more(*backends))
    assert answer.says("not-running", "stopped"), answer
    assert NOTE in answer["notes"], answer


@pytest.mark.fault("F218")
@pytest.mark.parametrize("style", [Style.SYSV, Style.MASTER_WORKER])
def test_how_it_ran_last_counts_where_nobody_is_left_who_started_it(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...], style: Style
) -> None:
    """The unit, or the script, is gone: nothing says that it will be started otherwise."""
    proxy = make_proxy(style)
    proxy.write(f"{MORE}/other.cfg", OTHER)
    export = "export " if style is Style.SYSV else ""
    proxy.write(DEFAULTS, f'{export}CONNECT=2s\nEXTRAOPTS="-f {MORE}"\n')
    run_and_stop(proxy, backends)
    if style is Style.SYSV:
        proxy.path("/etc/init.d/haproxy").unlink()
    else:
        unit = "/etc/systemd/system/haproxy.service"
        proxy.run(["ln", "-sf", "/dev/null", unit])
    judge(proxy, needing_more(*backends))


@pytest.mark.fault("F218")
def test_without_any_source(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """Neither systemd nor an init script."""
    proxy = make_proxy(Style.DAEMON)
    proxy.path("/etc/init.d/haproxy").unlink()
    answer = ApplyStep(proxy).run(needing_more(*backends))
    assert answer.says("not-running", "stopped"), answer
    assert answer["notes"] == NOTE
