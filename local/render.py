"""Renders a template for a fleet, offline, with the very code of the function.

    python -m local.render TEMPLATE --instances FILE.json --vars FILE.yml [--proxy INSTANCE_ID]

FILE.json is what `aws ec2 describe-instances` printed. The config goes to standard output, everything else that is
worth knowing to standard error. Exit code 1: it does not render. What renders and would not be published (no listener,
a backend missing) is printed with the reason.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from haproxy_sync import aws
from haproxy_sync.config import sources
from haproxy_sync.config.checks import problems
from haproxy_sync.config.render import Rendering, render_unchecked
from haproxy_sync.config.sources import TemplateSet
from haproxy_sync.config.variables import parse_variables
from haproxy_sync.errors import SyncError, TemplateError
from haproxy_sync.fleet import inventory
from haproxy_sync.fleet.model import Config, Fleet
from haproxy_sync.settings import Settings, parse_keywords
from local.fleets import (
    NotInstances,
    environments,
    fixtures,
    fleet_of,
    read_instances,
    settings,
)
from local.references import filled_in

MAX_FILES = 500
MAX_BYTES = 1024 * 1024


class Unusable(Exception):
    """The arguments do not fit together."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = argparse.ArgumentParser(
        prog="python -m local.render", description="Render a template for a fleet."
    )
    add_source(arguments)
    fleet = arguments.add_mutually_exclusive_group()
    fleet.add_argument(
        "--instances",
        type=Path,
        help="what `aws ec2 describe-instances` printed; default: a sample",
    )
    fleet.add_argument(
        "--live",
        metavar="REGION",
        help="ask EC2, SSM and Secrets Manager with the credentials of this shell",
    )
    arguments.add_argument(
        "--proxy",
        metavar="INSTANCE_ID",
        help="render as on this proxy; default: the first one",
    )
    arguments.add_argument(
        "--environment", help="default: the only one among the instances"
    )
    add_stack(arguments)
    arguments.add_argument("--zone-aware", action="store_true")
    return arguments


def add_source(arguments: argparse.ArgumentParser) -> None:
    """Template and variables."""
    arguments.add_argument(
        "template",
        nargs="?",
        type=Path,
        help="default: the project's own, else the bundled one",
    )
    arguments.add_argument(
        "--vars",
        type=Path,
        metavar="FILE.yml",
        help="variables, as vars/<environment>.yml",
    )


def add_stack(arguments: argparse.ArgumentParser) -> None:
    """Parameters of the stack, with the stack's defaults."""
    arguments.add_argument("--backend-port", type=int, default=8080)
    arguments.add_argument(
        "--backend-type", default="tomcat", help="value of the type tag of a backend"
    )
    arguments.add_argument(
        "--proxy-type", default="haproxy", help="value of the type tag of a proxy"
    )
    arguments.add_argument("--environment-tag", default="Environment", help="tag key")
    arguments.add_argument("--type-tag", default="Type", help="tag key")
    arguments.add_argument(
        "--allow-unsafe-keywords", default="", help="as the parameter takes them"
    )


def stack_of(options: argparse.Namespace, environment: str, **more: Any) -> Settings:
    """Settings from the command line."""
    return settings(
        environment,
        backend_port=options.backend_port,
        backend_tag_value=options.backend_type,
        proxy_tag_value=options.proxy_type,
        environment_tag_key=options.environment_tag,
        type_tag_key=options.type_tag,
        allow_unsafe_keywords=parse_keywords(options.allow_unsafe_keywords),
        **more,
    )


def source_of(options: argparse.Namespace) -> tuple[TemplateSet, Mapping[str, Any]]:
    """The template with what it may include, and the variables."""
    if options.template:
        files = {
            options.template.name: _read(options.template),
            **_beside(options.template),
        }
        templates = TemplateSet(options.template.name, files)
    else:
        templates = TemplateSet(sources.MAIN, sources.deployed())
    return templates, parse_variables(
        _read(options.vars), str(options.vars)
    ) if options.vars else {}


def _read(path: Path) -> str:
    return sources.decoded(str(path), path.read_bytes())


def _beside(template: Path) -> dict[str, str]:
    """Files in the template's folder and below it at any depth, nearest first, as far as they can be templates."""
    files: dict[str, str] = {}
    for path in _nearest_first(template.parent):
        if len(files) == MAX_FILES:
            print(
                f"note: only the {MAX_FILES} nearest files beside {template} can be included",
                file=sys.stderr,
            )
            break
        text = _text_of(path)
        if text is not None:
            files[path.relative_to(template.parent).as_posix()] = text
    return files


def _nearest_first(folder: Path) -> Iterator[Path]:
    """Every file below a folder, level by level, but what is hidden."""
    level = [folder]
    while level:
        below: list[Path] = []
        for each in level:
            for path in _visible(each):
                if path.is_dir():
                    below += [] if path.is_symlink() else [path]
                else:
                    yield path
        level = below


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    except OSError:  # not ours to read
        return []


def _text_of(path: Path) -> str | None:
    """The text of a file that may be a template; None if it is none."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            return None
        return _read(path)
    except (TemplateError, OSError):
        return None


def _fleet(options: argparse.Namespace) -> tuple[Fleet, Settings]:
    if options.live:
        if not options.environment:
            raise Unusable("--live needs --environment")
        stack = stack_of(
            options,
            options.environment,
            region=options.live,
            zone_aware=options.zone_aware,
        )
        return inventory.look(aws.clients(options.live), stack), stack
    instances = (
        read_instances(options.instances)
        if options.instances
        else fixtures()[2].instances
    )
    stack = stack_of(
        options,
        options.environment or _environment(instances, options),
        zone_aware=options.zone_aware,
    )
    return fleet_of(instances, stack), stack


def _environment(
    instances: Sequence[Mapping[str, Any]], options: argparse.Namespace
) -> str:
    """The environment of the proxy asked for, else the only one."""
    asked = [
        instance
        for instance in instances
        if instance.get("InstanceId") == options.proxy
    ]
    found = environments(asked or instances, options.environment_tag)
    if len(found) != 1:
        raise Unusable(
            f"--environment: one of {', '.join(found) or 'none: no running instance has the tag'}"
        )
    return found[0]


def choose(rendering: Rendering, fleet: Fleet, instance_id: str | None) -> Config:
    """The config of one proxy."""
    proxies = {proxy.instance_id for proxy in fleet.proxies}
    if instance_id and instance_id not in proxies:
        raise Unusable(
            f"--proxy {instance_id} is no proxy of this environment: {', '.join(sorted(proxies)) or 'none'}"
        )
    if rendering.shared:
        return rendering.shared
    if not rendering.by_proxy:
        raise Unusable(
            "the template reads the host it is rendered for, and there is no proxy"
        )
    if instance_id is None:
        return next(iter(rendering.by_proxy.values()))
    if instance_id not in rendering.by_proxy:
        raise Unusable(f"--proxy {instance_id}: its own tag was read and refused")
    return rendering.by_proxy[instance_id]


def _remarks(
    rendering: Rendering,
    variables: Mapping[str, Any],
    fleet: Fleet,
    stack: Settings,
    options: argparse.Namespace,
) -> Iterator[str]:
    """What a person should know beside the config."""
    yield from _left_out(rendering, fleet)
    backends = fleet.without(rendering.untold_ids).backends
    for problem in problems(rendering.configs, backends, variables, stack):
        yield f"would not be published: {problem}"
    if rendering.completed:
        yield "the template has no final newline; the function appends one, as HAProxy 2.3 and later need it"
    if len(rendering.configs) > 1 and not options.proxy:
        yield f"{len(rendering.configs)} different configs, this is the first; --proxy chooses"
    if not options.instances and not options.live:
        yield "a sample fleet; --instances takes yours"


def _left_out(rendering: Rendering, fleet: Fleet) -> Iterator[str]:
    for skipped in (*fleet.skipped, *rendering.skipped):
        yield f"skipped: {skipped.instance_id} {skipped.reason} {skipped.detail}"
    for instance_id in sorted(rendering.left_out):
        yield f"left out: {instance_id} drains, which the template does not show"


def what(error: Exception) -> str:
    """In words, as far as Python's own have a number in front."""
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the config; the exit code."""
    options = parser().parse_args(arguments)
    try:
        templates, stated = source_of(options)
        variables, said = filled_in(stated, options.live)
        fleet, stack = _fleet(options)
        rendering = render_unchecked(templates, variables, fleet, stack)
        text = choose(rendering, fleet, options.proxy).text
    except (SyncError, NotInstances, Unusable, OSError) as error:
        print(f"error: {what(error)}", file=sys.stderr)
        return 1
    for remark in (*said, *_remarks(rendering, variables, fleet, stack, options)):
        print(remark, file=sys.stderr)
    # Exactly what the template says, so that it can be compared with what Ansible wrote.
    sys.stdout.write(text.removesuffix("\n") if rendering.completed else text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
