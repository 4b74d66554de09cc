"""Which stack a command is about: from a table of samconfig.toml, as `sam --config-env` reads it, or from options."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from haproxy_ec2_sync.errors import Failed, one_line

# Where SAM itself looks for stack name, region and profile when it deploys: a command's own table wins over `global`.
# What only `sam remote invoke` knows comes last.
SECTIONS = ("deploy", "global", "remote_invoke")


@dataclass(frozen=True, slots=True)
class Target:
    """A stack, where it is, and as whom AWS is asked; None is what the AWS configuration says."""

    stack_name: str
    region: str | None = None
    profile: str | None = None
    endpoint_url: str | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """What was typed; None where nothing was."""

    env: str
    config_file: Path
    stack_name: str | None = None
    region: str | None = None
    profile: str | None = None
    endpoint_url: str | None = None


def target(options: Options) -> Target:
    """The stack that is meant. `Failed` says which option or which table of the file is missing."""
    # Another stack than the file's is not in the file's region.
    settings = {} if options.stack_name else _settings(options)
    return Target(
        stack_name=options.stack_name or settings["stack_name"],
        region=options.region or settings.get("region"),
        profile=options.profile or settings.get("profile"),
        endpoint_url=options.endpoint_url,
    )


def environments(file: Path) -> tuple[str, ...]:
    """The environments that the file has a stack for; `Failed` if it cannot be read."""
    tables = _parsed(file)
    return tuple(
        env for env in tables if _stack_settings(tables[env]).get("stack_name")
    )


def _settings(options: Options) -> Mapping[str, str]:
    settings = _stack_settings(_parsed(options.config_file).get(options.env))
    if "stack_name" not in settings:
        known = ", ".join(environments(options.config_file)) or "none"
        raise Failed(
            f"{options.config_file} names no stack for {options.env!r}, but for: {known}; give --env or --stack-name"
        )
    return settings


def _stack_settings(table: Any) -> Mapping[str, str]:
    """Stack name, region and profile of one table, as far as it has them."""
    found: dict[str, str] = {}
    for section in reversed(SECTIONS):
        found |= _texts(
            _mapping(_mapping(_mapping(table).get(section)).get("parameters"))
        )
    return found


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _texts(parameters: Mapping[str, Any]) -> Mapping[str, str]:
    names = ("stack_name", "region", "profile")
    return {name: str(parameters[name]) for name in names if parameters.get(name)}


def _parsed(file: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(
            file.read_text(encoding="utf-8-sig")
        )  # Windows writes a mark
    except FileNotFoundError as error:
        raise Failed(
            f"there is no {file} here (SAM's YAML files are not read): "
            "run this in the project's folder, or give --stack-name and --region"
        ) from error
    except (OSError, ValueError) as error:
        raise Failed(f"{file} cannot be read as TOML: {one_line(error)}") from error
