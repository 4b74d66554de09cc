"""What the program refuses, and that nothing has changed then: file, process, backups."""

from collections.abc import Callable
from hashlib import sha256

import pytest

from local.lab import BackendHost, ProxyHost, Style
from tests.host.apply_step import (
    CONFIG,
    STATE_DIR,
    ApplyStep,
    StepReport,
    backups,
    config,
    digest,
    leftovers,
)

type MakeProxy = Callable[..., ProxyHost]


@pytest.fixture
def proxy(make_proxy: MakeProxy, backends: tuple[BackendHost, ...]) -> ProxyHost:
    """A proxy that runs the config with one backend; its config directory is small."""
    made = make_proxy(Style.MASTER_WORKER, sizes={"/etc/haproxy": "256k"})
    made.start(config(backends[0]))
    return made


@pytest.fixture
def refused(
    proxy: ProxyHost, backends: tuple[BackendHost, ...]
) -> Callable[..., StepReport]:
    """Run the step with something wrong and check that the host is as before; gives what the step said."""
    before = config(backends[0])
    worker = proxy.worker

    def run(text: str | None, **parameters: str | None) -> StepReport:
        answer = ApplyStep(proxy).run(text, **parameters)
        assert proxy.read(CONFIG) == before
        assert proxy.workers() == (worker,)
        assert backups(proxy) == []
        assert leftovers(proxy) == []
        assert not proxy.firewall()
        assert answer["outcome"] == "failed"
        assert answer["running_md5"] in {"", digest(before)}
        assert answer.status not in {0, 137, 168, 169, 194}
        return answer

    return run


@pytest.mark.fault("F58")
@pytest.mark.parametrize(
    "name",
    [
        "Md5",
        "Sha256",
        "Generation",
        "ConfigPath",
        "ReloadMethod",
        "ListenPorts",
        "Publisher",
        "Adopt",
        "Action",
        "SecretLines",
        "AllowUnsafeKeywords",
        "Watch",
    ],
)
def test_an_agent_that_does_not_set_the_environment_changes_nothing(
    refused: Callable[..., StepReport], backends: tuple[BackendHost, ...], name: str
) -> None:
    """A parameter that is not in the environment stops the program with a status and a reason of its own."""
    answer = refused(config(*backends), **{name: None})
    assert (answer.status, answer["reason"]) == (11, "agent-too-old")
    assert name in answer["detail"]


@pytest.mark.fault("F59")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Md5", "d" * 31),
        ("Md5", "d" * 32 + "\n"),
        ("Sha256", "$(touch /run/executed)"),
        ("Generation", '1"; touch /run/executed; "'),
        ("Generation", "-1"),
        ("Generation", "1\n2"),
        ("ConfigPath", "/etc/haproxy/../passwd"),
        ("ConfigPath", "/etc/haproxy/`touch /run/executed`"),
        ("ConfigPath", "haproxy.cfg"),
        ("ReloadMethod", "{{ssm:secret}}"),
        ("ReloadMethod", "none"),
        ("ListenPorts", "80 -j ACCEPT"),
        ("ListenPorts", ",".join(["80"] * 16)),
        ("ListenPorts", ""),
        ("ListenPorts", "0"),
        ("ListenPorts", "80,99999"),
        ("Publisher", "$(touch /run/executed)"),
        ("Adopt", "maybe"),
        ("Action", "`touch /run/executed`"),
        ("SecretLines", "$(touch /run/executed)"),
        ("AllowUnsafeKeywords", "$(touch /run/executed)"),
        ("ConfigPath", "/var/lib/haproxy-ec2-sync/haproxy.cfg"),
        ("Watch", "`touch /run/executed`"),
    ],
)
def test_a_malformed_parameter_is_data_and_refused(
    refused: Callable[..., StepReport],
    proxy: ProxyHost,
    backends: tuple[BackendHost, ...],
    name: str,
    value: str,
) -> None:
    """Quotes, substitutions, newlines and SSM references in a parameter are refused and never executed."""
    answer = refused(config(*backends), **{name: value})
    assert (answer.status, answer["reason"], answer["detail"]) == (
        10,
        "bad-parameter",
        name,
    )
    assert not proxy.path("/run/executed").exists()


@pytest.mark.fault("F69")
def test_without_a_download_nothing_happens(refused: Callable[..., StepReport]) -> None:
    """The step also runs after a download that timed out; it finds no file and says so."""
    assert refused(None)["reason"] == "download-missing"


@pytest.mark.fault("F71")
def test_a_download_cut_at_a_line_end_is_refused(
    refused: Callable[..., StepReport], backends: tuple[BackendHost, ...]
) -> None:
    """HAProxy would accept a file that lost its last lines; the digest does not."""
    whole = config(*backends)
    cut = whole[: whole.rindex("    server")]
    answer = refused(cut, Md5=digest(whole), Sha256=sha256(whole.encode()).hexdigest())
    assert answer["reason"] == "checksum-mismatch"


@pytest.mark.fault("F72")
@pytest.mark.fault("F98")
def test_another_valid_file_is_refused(
    refused: Callable[..., StepReport], backends: tuple[BackendHost, ...]
) -> None:
    """An object that somebody swapped does not have the digest that came with the command."""
    wanted, swapped = config(*backends), config(backends[1])
    answer = refused(
        swapped, Md5=digest(wanted), Sha256=sha256(wanted.encode()).hexdigest()
    )
    assert answer["reason"] == "checksum-mismatch"


@pytest.mark.fault("F98")
def test_the_md5_alone_is_no_proof(
    refused: Callable[..., StepReport], backends: tuple[BackendHost, ...]
) -> None:
    """A file made to have the right MD5 still needs the right SHA-256."""
    assert refused(config(*backends), Sha256="0" * 64)["reason"] == "checksum-mismatch"


@pytest.mark.fault("F73")
def test_a_full_disk_keeps_the_live_file_whole(
    refused: Callable[..., StepReport],
    proxy: ProxyHost,
    backends: tuple[BackendHost, ...],
) -> None:
    """Without room for the candidate the step stops and leaves no half file."""
    filler = proxy.path("/etc/haproxy/filler")
    proxy.run(["sh", "-c", "cat /dev/zero > /etc/haproxy/filler"], check=False)
    answer = refused(config(*backends) + "# padding\n" * 2000)
    assert answer["reason"] == "cannot-write"
    assert filler.exists()


@pytest.mark.fault("F73")
def test_no_room_for_the_backup_keeps_the_live_file(
    make_proxy: MakeProxy, backends: tuple[BackendHost, ...]
) -> None:
    """A file is not replaced before its backup is whole."""
    before = config(backends[0]) + "# padding\n" * 2400
    proxy = make_proxy(Style.SYSV, sizes={"/etc/haproxy": "72k"})
    proxy.start(before)
    answer = ApplyStep(proxy).run(config(*backends) + "# padding\n" * 1200)
    assert answer.says("failed", "cannot-write")
    assert proxy.read(CONFIG) == before
    assert (backups(proxy), leftovers(proxy)) == ([], [])


@pytest.mark.fault("F74")
def test_a_read_only_file_system_changes_nothing(
    refused: Callable[..., StepReport],
    proxy: ProxyHost,
    backends: tuple[BackendHost, ...],
) -> None:
    """A config directory that cannot be written is reported as such."""
    proxy.make_read_only("/etc/haproxy")
    assert refused(config(*backends))["reason"] == "cannot-write"


@pytest.mark.fault("F75")
def test_a_state_directory_that_cannot_be_made_stops_the_step(
    refused: Callable[..., StepReport],
    proxy: ProxyHost,
    backends: tuple[BackendHost, ...],
) -> None:
    """Without lock and state nothing is touched."""
    proxy.write(STATE_DIR, "a file in its place")
    assert refused(config(*backends))["reason"] == "state-unwritable"


@pytest.mark.fault("F75")
def test_a_full_state_directory_stops_the_step(
    refused: Callable[..., StepReport],
    proxy: ProxyHost,
    backends: tuple[BackendHost, ...],
) -> None:
    """What is intended has to be written down before it is done."""
    proxy.run(
        [
            "sh",
            "-c",
            f"mkdir {STATE_DIR} && mount -t tmpfs -o size=4k state {STATE_DIR}",
        ]
    )
    proxy.run(["sh", "-c", f"cat /dev/zero > {STATE_DIR}/filler"], check=False)
    assert refused(config(*backends))["reason"] == "state-unwritable"


@pytest.mark.fault("F79")
def test_a_config_that_haproxy_refuses_is_not_installed(
    refused: Callable[..., StepReport], backends: tuple[BackendHost, ...]
) -> None:
    """The first ALERT lines of this host's own check are in the report."""
    answer = refused(config(*backends) + "backend more\n    no-such-keyword\n")
    assert answer["reason"] == "invalid-config"
    assert "no-such-keyword" in answer["detail"]


@pytest.mark.fault("F80")
def test_a_config_without_listener_is_not_installed(
    refused: Callable[..., StepReport],
) -> None:
    """`haproxy -c` exits 2 for a file that would not start; any status but 0 is a no."""
    answer = refused(
        "backend app\n    mode http\n    timeout connect 1s\n    timeout server 1s\n"
    )
    assert answer["reason"] == "invalid-config"
    assert "exits 2" in answer["detail"]


@pytest.mark.fault("F63")
def test_a_flood_of_messages_does_not_bury_the_marker(
    refused: Callable[..., StepReport], backends: tuple[BackendHost, ...]
) -> None:
    """The marker is the first line and everything else stays far below the agent's 24,000 bytes."""
    answer = refused(
        config(*backends)
        + "".join(f'    wrong-{number} \\xff\\"\n' for number in range(2000))
    )
    assert answer["reason"] == "invalid-config"
    assert len(answer.stdout.encode()) < 10_000
    assert len(answer.stderr.encode()) < 1_000


@pytest.mark.fault("F81")
@pytest.mark.parametrize(
    "bind",
    ["bind 10.99.99.99:81", "bind :8081"],
    ids=["address-not-here", "port-taken"],
)
def test_an_address_that_cannot_be_bound_is_found_before_the_reload(
    refused: Callable[..., StepReport],
    proxy: ProxyHost,
    backends: tuple[BackendHost, ...],
    bind: str,
) -> None:
    """`haproxy -c` accepts it, and a reload would refuse all connections for two seconds."""
    with proxy.beside(["socat", "TCP-LISTEN:8081,fork", "EXEC:true"], port=8081):
        answer = refused(config(*backends, binds=bind))
    assert answer["reason"] == "cannot-bind"
    assert bind.rpartition(":")[2] in answer["detail"]


def test_a_directory_that_haproxy_needs_is_looked_for(
    refused: Callable[..., StepReport], backends: tuple[BackendHost, ...]
) -> None:
    """`haproxy -c` accepts a stats socket in a directory that does not exist, and a reload would fail of it."""
    text = config(*backends).replace(
        "/run/haproxy/admin.sock", "/run/elsewhere/admin.sock"
    )
    answer = refused(text)
    assert answer["reason"] == "missing-directory"
    assert "/run/elsewhere" in answer["detail"]


def test_a_haproxy_that_runs_another_file_is_left_alone(
    refused: Callable[..., StepReport],
    proxy: ProxyHost,
    backends: tuple[BackendHost, ...],
) -> None:
    """Installing a file that the running HAProxy does not read would prove nothing."""
    answer = refused(config(*backends), ConfigPath="/etc/haproxy-other/haproxy.cfg")
    assert answer["reason"] == "config-not-used"
    assert CONFIG in answer["detail"]
    assert not proxy.path("/etc/haproxy-other").exists()
