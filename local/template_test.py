"""Tests a template before it is trusted: renders fleets that will happen one day, and asks the real `haproxy -c`.

    python -m local.template_test [TEMPLATE] [--vars FILE.yml]

Exit code 1 if any fleet fails. What is not wrong but has a price is said as a warning.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from haproxy_sync.config.language import servers
from haproxy_sync.config.render import render_fleet
from haproxy_sync.config.sources import TemplateSet
from haproxy_sync.errors import SyncError
from haproxy_sync.fleet.model import Config, Fleet
from local.fleets import Fixture, fixtures, fleet_of
from local.render import add_source, add_stack, source_of, stack_of

# Files that the proxy has and this machine may not; `-c` wants to see them.
_CERTIFICATE = re.compile(r"(?<=\s)(crt|ca-file|crl-file)(\s+)(/\S+)")
_ERROR_FILE = re.compile(r"(?<=\s)(errorfile\s+\d+\s+)(/\S+)")

PRICES: Mapping[str, tuple[str, str]] = {
    "hard-stop-after": (
        r"^\s*hard-stop-after\s",
        "each reload leaves a process as long as its longest connection lives: one more per reload, without a limit",
    ),
    "close-spread-time": (
        r"^\s*close-spread-time\s",
        "a reload closes all idle keep-alive connections at once; a request that is just on its way then fails",
    ),
    "server-state-file": (
        r"^\s*server-state-file\s",
        "a reload forgets which servers are down: each gets traffic again until its next check fails",
    ),
    "load-server-state-from-file": (
        r"^\s*load-server-state-from-file\s",
        "the saved state is not read: a reload takes every server for healthy, dead ones and new ones too",
    ),
    "stats socket": (
        r"^\s*stats\s+socket\s",
        "nothing can save the state of the servers or prove what runs, and the runtime method is not available",
    ),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to say about a fleet's config; `is_failure` decides about the exit code."""

    fleet: str
    text: str
    is_failure: bool


def findings(
    templates: TemplateSet, variables: Mapping[str, Any], stack_for: Callable[..., Any]
) -> Iterator[Finding]:
    """What is wrong with a template, fleet by fleet, and at the end what its silence costs."""
    configs: tuple[Config, ...] = ()
    for fixture in fixtures():
        for zone_aware in (False, True):
            stack = stack_for("staging", zone_aware=zone_aware)
            found, seen = _fixture_findings(fixture, templates, variables, stack)
            yield from found
            configs = seen or configs
    for config in configs[:1]:
        for name, (pattern, price) in PRICES.items():
            if not re.search(pattern, config.text, re.MULTILINE):
                yield Finding("any fleet", f"no {name}: {price}", is_failure=False)


def _fixture_findings(
    fixture: Fixture, templates: TemplateSet, variables: Mapping[str, Any], stack: Any
) -> tuple[list[Finding], tuple[Config, ...]]:
    fleet = fleet_of(fixture.instances, stack)
    name = f"{fixture.name}{', zone-aware' if stack.zone_aware else ''}"
    try:
        rendering = render_fleet(templates, variables, fleet, stack)
    except SyncError as error:
        return [Finding(name, str(error), is_failure=True)], ()
    skipped = {skip.instance_id for skip in rendering.skipped}
    found = [
        Finding(name, f"{id_}: its tag was read and refused", is_failure=False)
        for id_ in sorted(skipped)
    ]
    for config in rendering.configs:
        found += [
            Finding(name, text, is_failure=False)
            for text in _not_in_fleet(config, fleet)
        ]
        if verdict := haproxy_verdict(config.text, fleet):
            found.append(Finding(name, verdict, is_failure=True))
    return found, rendering.configs


def _not_in_fleet(config: Config, fleet: Fleet) -> Iterator[str]:
    """Servers that are no backends: right where a template lists others on purpose."""
    own = {
        name
        for b in fleet.backends
        for name in (b.name, b.address, b.instance_id, b.private_dns_name)
    }
    others = [
        f"{s.section}/{s.name}"
        for s in servers(config.text)
        if own.isdisjoint({s.name, s.host})
    ]
    if others:
        yield f"{len(others)} servers are not in the fleet: {', '.join(others[:5])}"


def haproxy_verdict(text: str, fleet: Fleet, binary: str | Path = "haproxy") -> str:
    """What `haproxy -c` has against a config; empty if nothing. Files that only a proxy has are stood in for."""
    with tempfile.TemporaryDirectory(prefix="template-test-") as folder:
        path = Path(folder, "haproxy.cfg")
        path.write_text(_at_home(text, fleet, Path(folder)), encoding="utf-8")
        run = subprocess.run(
            [binary, "-c", "-f", path],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=60,
            check=False,
        )
    if run.returncode == 0:
        return ""
    # Without process id and temporary path, so that the same complaint about two fleets is one.
    alerts = [
        line.partition(" : ")[2].replace(folder, "")
        for line in run.stderr.splitlines()
        if "[ALERT]" in line
    ]
    return f"haproxy -c: exit code {run.returncode}: " + " | ".join(alerts[:3])


def _at_home(text: str, fleet: Fleet, folder: Path) -> str:
    """The config as this machine can check it: certificates and error files of its own, labels as addresses."""
    certificate = folder / "certificate.pem"
    certificate.write_bytes(_certificate())
    error = folder / "error.http"
    error.write_text("HTTP/1.0 503 Service Unavailable\r\n\r\n")
    text = _CERTIFICATE.sub(
        lambda m: m[0] if Path(m[3]).exists() else f"{m[1]}{m[2]}{certificate}", text
    )
    text = _ERROR_FILE.sub(
        lambda m: m[0] if Path(m[2]).exists() else f"{m[1]}{error}", text
    )
    # A VPC resolves the labels of its instances; this machine does not.
    addresses = {
        name: b.address
        for b in fleet.backends
        for name in (b.name, b.private_dns_name)
        if name
    }
    return re.sub(
        r"^(\s*server\s+\S+\s+)([^\s:]+)(?=[:\s])",
        lambda m: m[1] + addresses.get(m[2], m[2]),
        text,
        flags=re.MULTILINE,
    )


@cache
def _certificate() -> bytes:
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=template-test -keyout - -out -"
    return subprocess.run(
        command.split(), capture_output=True, timeout=60, check=True
    ).stdout


def _grouped(found: Sequence[Finding]) -> Mapping[str, list[Finding]]:
    groups: dict[str, list[Finding]] = {}
    for finding in found:
        groups.setdefault(finding.text, []).append(finding)
    return groups


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the findings; the exit code."""
    command = argparse.ArgumentParser(
        prog="python -m local.template_test", description="Test a template."
    )
    add_source(command)
    add_stack(command)
    options = command.parse_args(arguments)
    if not shutil.which("haproxy"):
        print(
            "FAIL no haproxy on PATH: install it; Debian has it in /usr/sbin, which is not on every PATH"
        )
        return 1
    try:
        templates, variables = source_of(options)
    except (SyncError, OSError) as error:
        print(f"FAIL {error}")
        return 1
    found = list(
        findings(
            templates, variables, lambda *args, **more: stack_of(options, *args, **more)
        )
    )
    for text, same in _grouped(found).items():
        print(
            f"{'FAIL' if same[0].is_failure else 'warn'} {text} [{'; '.join(finding.fleet for finding in same)}]"
        )
    failed = any(finding.is_failure for finding in found)
    print(
        f"{templates.main}: {'not usable as it is' if failed else 'ok'}, {len(fixtures())} fleets"
    )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
