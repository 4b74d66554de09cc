"""Deploys the built application with the real SAM CLI, to whatever endpoint it is given."""

import os
import shutil
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parent.parent
SAM = PROJECT / ".venv-sam" / "bin" / "sam"
AWS = PROJECT / ".venv-aws" / "bin" / "aws"
SAM_BUILD = PROJECT / ".aws-sam" / "build"
DOCUMENT = PROJECT / "src" / "host" / "document.json"
CONFIG_ENVIRONMENT = "staging"
DEPLOY_SECONDS = 300
# It would ask every five seconds, which is kind to AWS.
SAM_ENVIRONMENT = {"SAM_CLI_TELEMETRY": "0", "SAM_CLI_POLL_DELAY": "0.2"}


class NotBuilt(Exception):
    """There is nothing to deploy, or the sources have changed since."""


class SamFailed(Exception):
    """`sam` failed; the message ends with what it said last."""


def settings() -> Mapping[str, str]:
    """Stack name, region and parameters that samconfig.toml gives the environment."""
    return {**_table()["global"]["parameters"], **overrides(_table())}


def overrides(table: Mapping[str, Any]) -> dict[str, str]:
    """The parameters that an environment's table of samconfig.toml gives `sam deploy`; no quotes are needed so far."""
    pairs = table["deploy"]["parameters"]["parameter_overrides"]
    return dict(pair.split("=", 1) for pair in pairs)


def _table() -> Mapping[str, Any]:
    text = (PROJECT / "samconfig.toml").read_text()
    table: Mapping[str, Any] = tomllib.loads(text)[CONFIG_ENVIRONMENT]
    return table


def built(folder: Path) -> Path:
    """The template of a copy, below `folder`, of what `make build` built; no later build changes it.

    Nothing is built here: this runs as root, and whoever called sudo could not build any more. Raises NotBuilt.
    """
    template, copy = (
        SAM_BUILD / "template.yaml",
        folder / SAM_BUILD.relative_to(PROJECT),
    )
    if not template.exists():
        raise NotBuilt(f"{SAM_BUILD} is missing: run `make build`")
    newer = [
        path for path in _sources() if path.stat().st_mtime > template.stat().st_mtime
    ]
    if newer:
        raise NotBuilt(f"{newer[0]} is newer than {SAM_BUILD}: run `make build`")
    shutil.copytree(SAM_BUILD, copy)
    # The template includes the document by a relative path.
    document = folder / DOCUMENT.relative_to(PROJECT)
    document.parent.mkdir(parents=True)
    shutil.copy(DOCUMENT, document)
    return copy / template.name


def _sources() -> Iterator[Path]:
    """Files that `sam build` reads."""
    yield PROJECT / "template.yaml"
    for folder in ("src", "layers"):
        yield from (
            path
            for path in (PROJECT / folder).rglob("*")
            if path.is_file() and path.suffix != ".pyc"
        )


def deploy(
    template: Path,
    folder: Path,
    environment: Mapping[str, str],
    parameters: Mapping[str, str],
) -> None:
    """Run `sam deploy` as samconfig.toml says, with some of its parameters replaced."""
    given = {**overrides(_table()), **parameters}
    pairs = [f"{name}={value}" for name, value in given.items()]
    options = ["--template-file", str(template), "--parameter-overrides", *pairs]
    _sam("deploy", options, folder, environment)


def delete(folder: Path, environment: Mapping[str, str]) -> None:
    """Run `sam delete` of the same stack."""
    _sam("delete", ["--no-prompts"], folder, environment)


def _sam(
    command: str, options: list[str], folder: Path, environment: Mapping[str, str]
) -> None:
    configured = ["--config-file", str(PROJECT / "samconfig.toml")]
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("AWS_")
    }
    log = folder / f"sam-{command}.log"
    with log.open("wb") as output:
        done = subprocess.run(
            [
                str(SAM),
                command,
                *configured,
                "--config-env",
                CONFIG_ENVIRONMENT,
                *options,
            ],
            cwd=PROJECT,
            env={**inherited, **SAM_ENVIRONMENT, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            timeout=DEPLOY_SECONDS,
            check=False,
        )
    if done.returncode:
        raise SamFailed(
            f"sam {command} ended with {done.returncode}, see {log}:\n{log.read_text()[-2000:]}"
        )
