"""Deploys the built application with the real SAM CLI, to whatever endpoint it is given."""

import os
import shutil
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

PROJECT = Path(__file__).parent.parent
SAM = PROJECT / ".venv-sam" / "bin" / "sam"
SAM_BUILD = PROJECT / ".aws-sam" / "build"
DOCUMENT = PROJECT / "src" / "host" / "document.json"
CONFIG_ENVIRONMENT = "staging"
DEPLOY_SECONDS = 300


class NotBuilt(Exception):
    """There is nothing to deploy, or the sources have changed since."""


class DeployFailed(Exception):
    """`sam` failed; the message ends with what it said last."""


def settings() -> Mapping[str, str]:
    """Stack name, region and parameters that samconfig.toml gives the environment."""
    table = tomllib.loads((PROJECT / "samconfig.toml").read_text())[CONFIG_ENVIRONMENT]
    return {
        **table["global"]["parameters"],
        **table["deploy"]["parameters"]["parameter_overrides"],
    }


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
    table = tomllib.loads((PROJECT / "samconfig.toml").read_text())[CONFIG_ENVIRONMENT]
    overrides = {**table["deploy"]["parameters"]["parameter_overrides"], **parameters}
    pairs = [f"{name}={value}" for name, value in overrides.items()]
    options = [
        "--config-file",
        str(PROJECT / "samconfig.toml"),
        "--config-env",
        CONFIG_ENVIRONMENT,
    ]
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("AWS_")
    }
    log = folder / "sam-deploy.log"
    with log.open("wb") as output:
        done = subprocess.run(
            [
                str(SAM),
                "deploy",
                *options,
                "--template-file",
                str(template),
                "--parameter-overrides",
                *pairs,
            ],
            cwd=PROJECT,
            env={**inherited, "SAM_CLI_TELEMETRY": "0", **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            timeout=DEPLOY_SECONDS,
            check=False,
        )
    if done.returncode:
        raise DeployFailed(
            f"sam deploy ended with {done.returncode}, see {log}:\n{log.read_text()[-2000:]}"
        )
