"""`make demo` keeps its word."""

import json
import signal
import subprocess
import sys
import threading

from local.deployment import PROJECT

LIMIT_SECONDS = 300
LAST_HINT = "Ctrl-C ends it all."


def test_demo_ends_by_itself_with_everything_done() -> None:
    """All steps happen under traffic, no request fails, and the exit status says so."""
    done = subprocess.run(
        [sys.executable, "-m", "local", "demo"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All of it happened" in done.stdout


def test_kept_demo_answers_until_it_is_interrupted() -> None:
    """With KEEP=1 the system stays, `make invoke` sends samples to it, and an interrupt ends it cleanly."""
    # What a shell runs in the background ignores interrupts, and so would the demo.
    command = ["env", "--default-signal=INT", sys.executable]
    command += ["-m", "local", "demo", "--keep"]
    with subprocess.Popen(
        command, cwd=PROJECT, stdout=subprocess.PIPE, text=True
    ) as demo:
        watchdog = threading.Timer(LIMIT_SECONDS, demo.kill)
        watchdog.start()
        try:
            assert demo.stdout
            assert any(LAST_HINT in line for line in demo.stdout)
            assert "backends" in _make_invoke("events/status.json")
            assert _make_invoke("events/plan.json")["action"] == "plan"
            demo.send_signal(signal.SIGINT)
            assert demo.wait() == 0
        finally:
            watchdog.cancel()
            demo.kill()


def _make_invoke(event: str) -> dict[str, object]:
    done = subprocess.run(
        ["make", "--no-print-directory", "invoke", f"EVENT={event}"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=True,
    )
    answer: dict[str, object] = json.loads(done.stdout[done.stdout.index("{") :])
    return answer
