"""The program's ways out: whatever ends a run, the ports are open and the marker is told."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from haproxy_apply import __main__ as program
from haproxy_apply import drop_window, report
from haproxy_apply.errors import Verdict
from tests.unit.test_host_values import GOOD

MARKER = b"haproxy-ec2-sync {"


@contextmanager
def nothing_to_lock() -> Iterator[None]:
    """The state directory of this machine is no test's."""
    yield


@pytest.fixture
def run_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[Callable[[drop_window.DropWindow], None]], int]:
    """The program around something done with a drop window, with a stand-in for nft."""
    table, told = tmp_path / "table", tmp_path / "told"
    nft = tmp_path / "nft"
    nft.write_text(f"""#!/bin/sh
if [ "$1" = delete ]
then [ -e {told} ] || {{ touch {told}; kill -TERM $PPID; sleep 0.1; }}; rm {table}
else cat > {table}
fi
""")
    nft.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(drop_window, "DROP_MARK", str(tmp_path / "hold"))
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(program, "locked", nothing_to_lock)

    def run(act: Callable[[drop_window.DropWindow], None]) -> int:
        def apply(_wanted: Any, _findings: Any, journal: Any) -> Verdict:
            with drop_window.DropWindow("80", journal) as window:
                act(window)
            return Verdict(0, "installed", "changed")

        monkeypatch.setattr(program, "apply", apply)
        before = {number: signal.getsignal(number) for number in program.SIGNALS}
        try:
            return program.main()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    return run


def test_a_term_while_the_ports_are_opened_opens_them(
    run_with: Callable[..., int],
    tmp_path: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    """The first TERM, while nft is at work."""
    assert run_with(drop_window.DropWindow.open) == program.INTERRUPTED
    assert capfdbinary.readouterr().out.startswith(MARKER)
    assert not (tmp_path / "table").exists()


def test_a_term_after_the_verdict_keeps_the_marker(
    run_with: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    """Whatever comes then, the verdict stands."""
    made = report.marker

    def marker(*given: Any) -> str:
        os.kill(os.getpid(), signal.SIGTERM)
        return made(*given)

    monkeypatch.setattr(report, "marker", marker)
    run_with(lambda _window: None)
    assert capfdbinary.readouterr().out.startswith(MARKER)


def test_a_closed_output_changes_no_status(
    run_with: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who does not listen does not hear; the host is as it is."""
    monkeypatch.setattr(program, "open", refuse, raising=False)
    assert run_with(lambda _window: None) == 0


def refuse(*_: object, **__: object) -> None:
    """As where the reader is gone."""
    raise BrokenPipeError
