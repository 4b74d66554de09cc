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
from pathlib import Path
from typing import Any

from haproxy_sync.config.checks import problems
from haproxy_sync.config.language import servers
from haproxy_sync.config.render import Rendering, render_unchecked
from haproxy_sync.config.sources import TemplateSet
from haproxy_sync.errors import SyncError
from haproxy_sync.fleet.model import Config, Fleet
from haproxy_sync.settings import Settings
from local.fleets import Fixture, fixtures, fleet_of
from local.haproxy_check import Alert, check
from local.prices import DRAIN_SECONDS, HIDDEN_DRAINS, prices
from local.references import filled_in
from local.render import add_source, add_stack, source_of, stack_of, what
from local.stand_ins import StandIns
from local.template_lines import Lines, template_lines
from local.upgrades import warnings

SHOWN = 80
"""So many characters of a line of a config are enough to find it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to say about a fleet's config; `is_failure` decides about the exit code."""

    fleet: str
    text: str
    is_failure: bool
    kind: str = ""
    """Equal for the same thing said of other hosts, which is printed once; by default the text."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A template with its variables, and what the fleets it is tried with have in common."""

    templates: TemplateSet
    variables: Mapping[str, Any]
    stand_ins: StandIns
    drain_seconds: float = DRAIN_SECONDS

    def rendering(self, fleet: Fleet, stack: Settings) -> Rendering:
        """What the function would render, whatever it is worth (`TemplateError`)."""
        return render_unchecked(self.templates, self.variables, fleet, stack)

    def lines(self, fleet: Fleet, stack: Settings) -> Mapping[str, Lines]:
        """Where the lines of each config come from."""
        return template_lines(self.templates, self.variables, fleet, stack)


def findings(trial: Trial, stack_for: Callable[..., Settings]) -> Iterator[Finding]:
    """What is wrong with a template, fleet by fleet, and at the end what its silence costs."""
    configs: tuple[Config, ...] = ()
    hides_drains = False
    upgrades: dict[str, Finding] = {}
    for fixture in fixtures():
        for zone_aware in (False, True):
            stack = stack_for("staging", zone_aware=zone_aware)
            found, rendering = _fixture_findings(fixture, trial, stack)
            yield from found
            seen = rendering.configs if rendering else ()
            configs = seen or configs
            hides_drains |= rendering is not None and bool(rendering.left_out)
            upgrades = _upgrades(seen) | upgrades
    for config in configs[:1]:
        for text in prices(config.text, trial.drain_seconds):
            yield Finding("any fleet", text, is_failure=False)
    if hides_drains:
        yield Finding("any fleet", HIDDEN_DRAINS, is_failure=False)
    yield from upgrades.values()


def _upgrades(configs: Sequence[Config]) -> dict[str, Finding]:
    """What another version of HAProxy refuses or takes otherwise, by what there is to say of it."""
    found: dict[str, Finding] = {}
    for config in configs:
        for each in warnings(config.text):
            text = f"line {each.number} of the config: {each.text}"
            finding = Finding("an upgrade of HAProxy", text, is_failure=False)
            found.setdefault(each.text, finding)
    return found


def _fixture_findings(
    fixture: Fixture, trial: Trial, stack: Settings
) -> tuple[list[Finding], Rendering | None]:
    fleet = fleet_of(fixture.instances, stack)
    name = f"{fixture.name}{', zone-aware' if stack.zone_aware else ''}"
    try:
        rendering = trial.rendering(fleet, stack)
    except SyncError as error:
        return [Finding(name, str(error), is_failure=True)], None
    found = [
        Finding(name, f"{id_}: its tag was read and refused", is_failure=False)
        for id_ in sorted(rendering.skipped_ids)
    ]
    backends = fleet.without(rendering.untold_ids).backends
    for problem in problems(rendering.configs, backends, trial.variables, stack):
        text = f"{trial.templates.main}: {problem}"
        found.append(Finding(name, text, is_failure=True, kind=_kind(text, fleet)))
    for config in rendering.configs:
        found += [
            Finding(name, text, is_failure=False)
            for text in _not_in_fleet(config, fleet)
        ]
        alerts = check(config.text, fleet, trial.stand_ins)
        if alerts:
            lines = trial.lines(fleet, stack).get(config.text, ())
            texts = (_placed(each, config, lines, trial.templates) for each in alerts)
            found += [
                Finding(name, text, is_failure=True, kind=_kind(kind, fleet))
                for text, kind in texts
            ]
    return found, rendering


def _placed(
    alert: Alert, config: Config, lines: Lines, templates: TemplateSet
) -> tuple[str, str]:
    """What to say of an alert, with the template's line where it is known; and what is the same for other hosts."""

    def named(number: int) -> str:
        place = lines[number - 1] if number <= len(lines) else None
        return str(place or f"line {number} of the config")

    text = re.sub(r"\bline (\d+)", lambda m: named(int(m[1])), alert.text)
    said = f"haproxy -c: {text}"
    rendered = config.text.split("\n")
    if alert.line is None or alert.line > len(rendered):
        return said, said
    written = rendered[alert.line - 1].strip()
    place = lines[alert.line - 1] if lines else None
    if place is None:
        return f"{said} (the config's line {alert.line}: {written[:SHOWN]})", said
    source = templates.files[place.file].splitlines()[place.number - 1].strip()
    shown = "" if source == written else f" (rendered: {written[:SHOWN]})"
    return f"{place}: {said}{shown}", f"{place}: {said}"


def _kind(text: str, fleet: Fleet) -> str:
    """The text without the hosts and numbers of this fleet, places in templates excepted."""
    hosts = (*fleet.backends, *fleet.proxies)
    names = {
        name
        for host in hosts
        for name in (
            host.private_dns_name,
            host.name,
            host.address,
            host.instance_id,
        )
        if name
    }
    longest_first = sorted(names, key=len, reverse=True)
    for name in longest_first:
        text = text.replace(name, "*")
    place, colon, said = text.partition(": ")
    return place + colon + re.sub(r"[*\d][*\d, ]*", "*", said)


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


def _grouped(found: Sequence[Finding]) -> Mapping[str, list[Finding]]:
    groups: dict[str, list[Finding]] = {}
    for finding in found:
        groups.setdefault(finding.kind or finding.text, []).append(finding)
    return groups


def _fleets(found: Sequence[Finding]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(finding.fleet for finding in found))


def _not_looked_at(stand_ins: StandIns) -> Iterator[str]:
    """What another file took the place of."""
    if stand_ins.names:
        yield f"the proxy's own, not looked at: {', '.join(stand_ins.names)}"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = argparse.ArgumentParser(
        prog="python -m local.template_test", description="Test a template."
    )
    add_source(command)
    add_stack(command)
    command.add_argument(
        "--drain-seconds",
        default=str(DRAIN_SECONDS),
        help="how long a drain may take, as the stack's parameter DrainSeconds says",
    )
    return command


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the findings; the exit code."""
    options = parser().parse_args(arguments)
    if not shutil.which("haproxy"):
        print(
            "FAIL no haproxy on PATH: install it; Debian has it in /usr/sbin, which is not on every PATH"
        )
        return 1
    try:
        templates, stated = source_of(options)
        variables, said = filled_in(stated)
    except (SyncError, OSError) as error:
        print(f"FAIL {what(error)}")
        return 1
    with tempfile.TemporaryDirectory(prefix="template-test-") as folder:
        trial = Trial(
            templates, variables, StandIns(Path(folder)), float(options.drain_seconds)
        )
        try:
            found = list(
                findings(trial, lambda *args, **more: stack_of(options, *args, **more))
            )
        except (OSError, subprocess.SubprocessError) as error:
            print(f"FAIL haproxy or openssl cannot be run: {error}")
            return 1
    for same in _grouped(found).values():
        print(
            f"{'FAIL' if same[0].is_failure else 'warn'} {same[0].text} [{'; '.join(_fleets(same))}]"
        )
    for note in (*said, *_not_looked_at(trial.stand_ins)):
        print(f"note {note}")
    failed = any(finding.is_failure for finding in found)
    print(
        f"{templates.main}: {'not usable as it is' if failed else 'ok'}, {len(fixtures())} fleets"
    )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
