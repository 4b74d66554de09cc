"""What `sam build` makes is what the function needs: its modules and templates, its layer, nothing of this machine."""

import fcntl
import os
import re
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

from haproxy_sync.config import sources
from haproxy_sync.rollout import program
from haproxy_sync.rollout.program import Program
from local import deployment
from tests.template.translate import PROJECT

SAM = PROJECT / ".venv-sam" / "bin" / "sam"


def sam(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the locked SAM CLI without credentials."""
    environment = {
        **{
            name: value
            for name, value in os.environ.items()
            if not name.startswith("AWS_")
        },
        "PATH": f"{SAM.parent}:{os.environ['PATH']}",
        "SAM_CLI_TELEMETRY": "0",
    }
    return subprocess.run(
        [SAM, *arguments],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built stack: what `make build` left, as `make test` has it do; one of our own if a source is newer."""
    folder = tmp_path_factory.mktemp("build")
    try:
        return deployment.built(folder).parent
    except deployment.NotBuilt:
        return _built_anew(folder)


def _built_anew(folder: Path) -> Path:
    """Dependencies come from the cache of `make build`."""
    lock = PROJECT / ".aws-sam" / "lock"
    lock.parent.mkdir(exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the cache takes one build at a time
        done = sam("build", "--build-dir", str(folder))
    assert done.returncode == 0, done.stderr
    return folder


def test_validate() -> None:
    """`sam validate --lint` finds nothing."""
    done = sam("validate", "--lint", "--region", "ap-southeast-2")
    assert done.returncode == 0, done.stdout + done.stderr


RUN = {"src": "haproxy_sync.handler", "src/host": "haproxy_apply.__main__"}
"""What Lambda imports, and what a proxy's Python runs."""
OPENED = {program.DOCUMENT, f"haproxy_sync/config/templates/{sources.MAIN}"}
"""By `program`, to compare what it packs with what proxies run, and by `sources`, where nobody uploaded one."""


def imported() -> set[str]:
    """The files of all modules that run, by what each imports, late imports and packages included."""
    graph = grimp.build_graph(
        "haproxy_sync", "haproxy_apply", exclude_type_checking_imports=True
    )
    modules = set(RUN.values()).union(*map(graph.find_upstream_modules, RUN.values()))
    packages = {
        module[: end.start()]
        for module in modules
        for end in re.finditer(r"\.", module)
    }
    names = {f"{module.replace('.', '/')}.py" for module in modules - packages} | {
        f"{package.replace('.', '/')}/__init__.py" for package in packages
    }
    return {
        f"host/{name}" if name.startswith("haproxy_apply/") else name for name in names
    }


def test_function_package(build: Path) -> None:
    """Each file is imported or opened by what runs, none is missing, and each is the source's, byte for byte."""
    package, source = build / "ReconcileFunction", PROJECT / "src"
    built = {
        str(path.relative_to(package)): path.read_bytes()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert set(built) == imported() | OPENED
    assert built == {name: (source / name).read_bytes() for name in built}


def test_program_package(build: Path) -> None:
    """The built function makes the very program that the document beside it names."""
    release = build / "ReconcileFunction"
    assert Program.deployed(release) == Program.packed()
    document = (release / "host" / "document.json").read_bytes()
    assert document == (PROJECT / "src" / "host" / "document.json").read_bytes()


def test_layer(build: Path) -> None:
    """The layer holds the locked versions, and neither boto3, which the runtime has, nor a tool."""
    layer, lock = (
        build / "DependencyLayer" / "python",
        PROJECT / "layers" / "deps" / "requirements.txt",
    )
    locked = re.findall(r"^([a-z0-9-]+)==([^ ]+) ", lock.read_text(), re.MULTILINE)
    found = {
        path.name.removesuffix(".dist-info").lower()
        for path in layer.glob("*.dist-info")
    }
    assert found == {f"{name.replace('-', '_')}-{version}" for name, version in locked}
    assert not (layer / "boto3").exists()


def test_imports_from_package_and_layer_alone(build: Path) -> None:
    """The handler loads on what is deployed: function, layer, and the boto3 that the runtime brings."""
    runtime = next(path for path in sys.path if path.endswith("site-packages"))
    code = f"""
import sys
sys.path[:0] = [{str(build / "ReconcileFunction")!r}, {str(build / "DependencyLayer" / "python")!r}]
before = set(sys.modules)
sys.path.append({runtime!r})
import haproxy_sync.handler
import jinja2, yaml
foreign = {{
    name.partition(".")[0] for name in set(sys.modules) - before
    if {runtime!r} in (getattr(sys.modules[name], "__file__", None) or "")
}}
print(sorted(foreign))
"""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    # botocore takes certifi if it is there, and does without.
    allowed = {
        "boto3",
        "botocore",
        "s3transfer",
        "urllib3",
        "dateutil",
        "six",
        "jmespath",
        "certifi",
    }
    assert set(re.findall(r"'([^']+)'", done.stdout)) <= allowed


def test_function_names_its_handler(build: Path) -> None:
    """The handler that the template names is in the package."""
    handler = re.search(r"Handler: (\S+)", (build / "template.yaml").read_text())
    assert handler
    *module, function = handler[1].split(".")
    text = (build / "ReconcileFunction" / Path(*module)).with_suffix(".py").read_text()
    assert f"\ndef {function}(" in text


def test_template_has_no_aliases(build: Path) -> None:
    """CloudFormation knows no YAML aliases: the ones of the source are spelt out."""
    text = (build / "template.yaml").read_text()
    assert not re.search(r"[:-] [&*][A-Za-z]", text)
    assert text.count("DeadLetterConfig:") == text.count("Type: AWS::Events::Rule")
