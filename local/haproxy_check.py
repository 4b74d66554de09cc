"""What the real `haproxy -c` says about a config, on a machine that is no proxy."""

import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from haproxy_sync.fleet.model import Fleet
from local.stand_ins import StandIns

_ROUNDS = 50
"""A bound for the runs that learn what to stand in for: each withdraws one or finds one, and a config has a few."""
_SUMMARY = re.compile(
    r"(?:Error\(s\)|Fatal errors) found in configuration|too many fatal errors"
)
_SERVER = re.compile(r"^(\s*server\s+\S+\s+)([^\s:]+)(?=[:\s])", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Alert:
    """What HAProxy has against a line of the config, counted from 1; None where it names no line."""

    line: int | None
    text: str


def check(
    text: str, fleet: Fleet, stand_ins: StandIns, binary: str | Path = "haproxy"
) -> tuple[Alert, ...]:
    """HAProxy's alerts about a config of this fleet; none if it is valid. Nothing is written but in `stand_ins.folder`.

    Raises `OSError` and `subprocess.SubprocessError` where HAProxy or openssl cannot be run.
    """
    resolved = _resolved(text, fleet)
    lines = resolved.splitlines()
    alerts: tuple[Alert, ...] = ()
    for _round in range(_ROUNDS):
        alerts = _alerts(stand_ins.config(resolved), stand_ins.folder, binary)
        # Each alert is learnt from: `any` would stop at the first.
        if not [
            each for each in alerts if stand_ins.learn(each.text, _about(each, lines))
        ]:
            break
    return tuple(Alert(alert.line, stand_ins.original(alert.text)) for alert in alerts)


def _about(alert: Alert, lines: Sequence[str]) -> Sequence[str]:
    if alert.line is None:
        return lines
    return lines[alert.line - 1 : alert.line]


def _alerts(text: str, folder: Path, binary: str | Path) -> tuple[Alert, ...]:
    config = folder / "haproxy.cfg"
    config.write_text(text, encoding="utf-8")
    run = subprocess.run(
        [binary, "-c", "-f", config],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=60,
        check=False,
    )
    if run.returncode == 0:
        return ()
    found = tuple(_parsed(run.stderr, str(config)))
    nothing = f"exit code {run.returncode}: {run.stderr.strip()[-200:]}"
    return found or (Alert(None, nothing),)


def _parsed(output: str, config: str) -> Iterator[Alert]:
    """Alerts without process id and summary. HAProxy's form: `[ALERT] (1) : config : parsing [FILE:2] : TEXT`."""
    place = re.compile(rf"{re.escape(config)}:(\d+)")
    start = re.compile(
        rf"(?:config : )?(?:(?:[Pp]arsing )?\[{re.escape(config)}:\d+\] ?: ?)?"
    )
    for line in output.splitlines():
        alert = line.partition(" : ")[2]
        if "[ALERT]" not in line or _SUMMARY.search(alert):
            continue
        number = place.search(alert)
        yield Alert(
            line=int(number[1]) if number else None,
            text=place.sub(r"line \1", start.sub("", alert, count=1)),
        )


def _resolved(text: str, fleet: Fleet) -> str:
    """The config with addresses for labels: a VPC resolves those of its instances, this machine does not."""
    addresses = {
        name: backend.address
        for backend in fleet.backends
        for name in (backend.name, backend.private_dns_name)
        if name
    }
    return _SERVER.sub(lambda m: m[1] + addresses.get(m[2], m[2]), text)
