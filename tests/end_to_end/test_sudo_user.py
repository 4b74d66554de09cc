"""The README's commands, typed by an ordinary user who may use sudo."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from local.deployment import PROJECT
from local.lab.namespaces import held_namespaces, printed
from tests import readme

NAME = "newcomer"
TESTS = "test_the_first_label_is_the_name or test_a_script_runs_where_the_host_is or test_sample_is_accepted[status]"
"""One quick test or a few of every stage of `make test`; all of them would run this one too."""

# Both ways to install the command line, with the uv that the set-up has brought, and how each is undone.
INSTALLATIONS = {
    "uv tool install .": "uv tool uninstall haproxy-ec2-sync",
    "uvx pipx install .": "uvx pipx uninstall haproxy-ec2-sync",
}

LINT_CACHES = (".mypy_cache", ".ruff_cache")
"""What the linters have found out of the same files, once for everybody; `make clean` removes it."""

# Users, sudo's rules, homes and temporary files are this test's own, in memory, and end with it. What only root can
# reach is shut away but for Python 3.13 itself, which every user of a machine that has it can run.
_MACHINE = """
mount -t tmpfs -o mode=755 own /mnt
cp -a /etc /mnt/etc
mkdir -p /mnt/home /mnt/tmp /mnt/shut/{python_below}
chmod 1777 /mnt/tmp
if [ -n "{python_below}" ]; then mount --bind {python} /mnt/shut/{python_below}; fi
for folder in etc home tmp; do mount --bind /mnt/$folder /$folder; done
if [ -n "{python_below}" ]; then mkdir -p {shut}; mount --rbind /mnt/shut {shut}; fi
useradd --no-log-init --create-home --shell /bin/bash {name}
echo '{name} ALL=(ALL:ALL) NOPASSWD: ALL' > /etc/sudoers.d/{name}
chmod 440 /etc/sudoers.d/{name}
"""


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A user without rights but sudo, with a fresh copy of the project in a home that root sees at `home`."""

    pid: int
    home: Path

    @property
    def project(self) -> Path:
        """Their copy."""
        return self.home / "project"

    def types(self, command: str, seconds: float = 1200) -> str:
        """Run a command line in a login shell in the project; what it printed. Fails unless it ends well, in time."""
        enter = ["nsenter", f"--target={self.pid}", "--mount", "--pid", "--wdns=/"]
        login = [
            "runuser",
            "--whitelist-environment",
            ",".join(_network_variables()),
            "--login",
            NAME,
        ]
        line = [*enter, *login, "--command", f"cd project && {command}"]
        process = subprocess.Popen(
            line,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        output, _ = printed(process, timeout_seconds=seconds)
        assert process.returncode == 0, f"{command}:\n{output[-4000:]}"
        return output

    def foreign_files(self) -> list[str]:
        """Files in the home that belong to somebody else."""
        own = self.home.stat().st_uid
        return [
            str(path) for path in self.home.rglob("*") if path.lstat().st_uid != own
        ]


def _network_variables() -> list[str]:
    """Variables by which the caller's pip and uv reach the package index; caches are everybody's own."""
    prefixes = (
        "PIP_",
        "UV_",
        "SSL_CERT_",
        "REQUESTS_CA_BUNDLE",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "ALL_PROXY",
    )
    return [
        name
        for name in os.environ
        if name.upper().startswith(prefixes) and not name.endswith("_CACHE_DIR")
    ]


def _shut(path: Path) -> Path | None:
    """The uppermost folder on the way to a path that ordinary users may not enter."""
    return next(
        (
            folder
            for folder in reversed(path.parents)
            if not folder.stat().st_mode & 0o001
        ),
        None,
    )


def _tracked() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"],
        cwd=PROJECT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [name for name in listed.split("\0") if name and (PROJECT / name).exists()]


@pytest.fixture
def newcomer() -> Iterator[Newcomer]:
    """The user, on a machine with the README's prerequisites, and Python 3.13, so that uv need not download it."""
    python = Path(sys.base_prefix)
    shut = _shut(python / "bin")
    below = python.relative_to(shut) if shut else ""
    with held_namespaces(
        NAME, _MACHINE.format(python=python, python_below=below, shut=shut, name=NAME)
    ) as pid:
        user = Newcomer(pid, Path(f"/proc/{pid}/root/home/{NAME}"))
        for name in _tracked():
            (user.project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, user.project / name)
        programs = user.home / ".local" / "bin"
        programs.mkdir(parents=True)
        (programs / "python3.13").symlink_to(python / "bin" / "python3.13")
        _give(user.home)
        yield user


def _lend_caches(newcomer: Newcomer) -> None:
    """Whatever is there of them."""
    for cache in filter(Path.is_dir, map(PROJECT.joinpath, LINT_CACHES)):
        shutil.copytree(cache, newcomer.project / cache.name, dirs_exist_ok=True)
    _give(newcomer.home)


def _give(home: Path) -> None:
    owner = home.stat()
    for path in home.rglob("*"):
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _files(folder: Path) -> list[str]:
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()
    )


def _shows(newcomer: Newcomer, command: str, before: str = "") -> str:
    """What it prints: what the README shows, and whatever make says of its own recipes."""
    printed = newcomer.types(f"{before} {command}")
    assert readme.is_shown(command, printed), printed[-6000:]
    return printed


@pytest.mark.fault("F191")
@pytest.mark.fault("F192")
def test_the_readmes_commands_as_a_user_with_sudo(newcomer: Newcomer) -> None:
    """Demo, tests and template test work in that order, all files stay the user's, clean removes its own.

    The demo ends by itself; all steps happen under traffic, no request fails, and one change goes by syn-drop.
    """
    before = _files(newcomer.project)
    assert "sbin" not in newcomer.types("echo $PATH")
    # A profile that root does not have.
    told = _shows(newcomer, "make demo", "export AWS_PROFILE=work;")
    (drops,) = re.findall(r"the drop rule, in the kernel of each proxy: (.*)", told)
    assert drops.count(": seen, then gone") == 2
    assert newcomer.foreign_files() == []
    _lend_caches(newcomer)
    tested = newcomer.types(f"make test TESTS='{TESTS}'")
    assert tested.count(" passed") == 3
    # Those that are not selected are the only difference to all of them.
    of_all = re.sub(r", \d+ deselected", "", tested)
    assert readme.is_shown("make test", of_all), tested
    template = "src/haproxy_sync/config/templates/haproxy.cfg.j2"
    newcomer.types(f"cp {template} .")
    _shows(newcomer, "make template-test TEMPLATE=haproxy.cfg.j2")
    newcomer.types("rm haproxy.cfg.j2")
    _shows(
        newcomer, "sam build", "export PATH=$PWD/.venv/bin:$PWD/.venv-sam/bin:$PATH;"
    )
    for installs, removes in INSTALLATIONS.items():
        printed = newcomer.types(f"export PATH=$PWD/.tools/bin:$PATH; {installs}")
        assert installs not in readme.typed() or readme.is_shown(installs, printed)
        said = newcomer.types("cd / && ~/.local/bin/haproxy-ec2-sync --version")
        assert said.startswith("haproxy-ec2-sync, version ")
        newcomer.types(f"export PATH=$PWD/.tools/bin:$PATH; {removes}")
    assert newcomer.foreign_files() == []
    newcomer.types("make clean")
    assert _files(newcomer.project) == before
