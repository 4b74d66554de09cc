"""Builds and deploys the application with the real SAM CLI, to whatever endpoint it is given."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

PROJECT = Path(__file__).parent.parent
SAM = PROJECT / ".venv-sam" / "bin" / "sam"
SAM_FOLDER = PROJECT / ".aws-sam"
CONFIG_ENVIRONMENT = "staging"
STEP_SECONDS = 300


class DeployFailed(Exception):
    """`sam` failed; the message ends with what it said last."""


def settings() -> Mapping[str, str]:
    """Stack name, region and parameters that samconfig.toml gives the environment."""
    table = tomllib.loads((PROJECT / "samconfig.toml").read_text())[CONFIG_ENVIRONMENT]
    return {**table["global"]["parameters"], **table["deploy"]["parameters"]["parameter_overrides"]}


@contextlib.contextmanager
def built(folder: Path) -> Iterator[Path]:
    """Run `sam build`; the template of a copy of what it built, which no later build changes.

    `folder` takes the log. The copy lies beside the original: the template includes the document by a relative path.
    """
    SAM_FOLDER.mkdir(exist_ok=True)
    with (SAM_FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the cache takes one build at a time
        _sam(folder, ["build"], {})
        copy = Path(tempfile.mkdtemp(prefix="local-", dir=SAM_FOLDER))
        shutil.copytree(SAM_FOLDER / "build", copy, dirs_exist_ok=True)
    try:
        yield copy / "template.yaml"
    finally:
        shutil.rmtree(copy)


def deploy(template: Path, folder: Path, environment: Mapping[str, str], parameters: Mapping[str, str]) -> None:
    """Run `sam deploy` as samconfig.toml says, with some of its parameters replaced."""
    table = tomllib.loads((PROJECT / "samconfig.toml").read_text())[CONFIG_ENVIRONMENT]
    overrides = {**table["deploy"]["parameters"]["parameter_overrides"], **parameters}
    pairs = [f"{name}={value}" for name, value in overrides.items()]
    _sam(folder, ["deploy", "--template-file", str(template), "--parameter-overrides", *pairs], environment)


def _sam(folder: Path, arguments: list[str], environment: Mapping[str, str]) -> None:
    log = folder / f"sam-{arguments[0]}.log"
    options = ["--config-file", str(PROJECT / "samconfig.toml"), "--config-env", CONFIG_ENVIRONMENT]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with log.open("wb") as output:
        done = subprocess.run(
            [str(SAM), *arguments, *options],
            cwd=PROJECT,
            # `sam build` takes the first python3.13 with pip on PATH: the one beside it has it.
            env={**inherited, "PATH": f"{SAM.parent}:{os.environ['PATH']}", "SAM_CLI_TELEMETRY": "0", **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            timeout=STEP_SECONDS,
            check=False,
        )
    if done.returncode:
        raise DeployFailed(f"sam {arguments[0]} ended with {done.returncode}, see {log}:\n{log.read_text()[-2000:]}")
