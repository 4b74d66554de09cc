"""Stands for the Lambda service: runs the deployed artifact as Lambda does.

Function and layer are unpacked from what `sam deploy` uploaded; environment variables, handler, timeout and role are
the deployed ones. Each execution environment is one process, started on demand and kept warm; it sees the function,
the layer, the runtime's own packages and session credentials of the function's role. An overrun timeout kills it.
What is unpacked, and Python's byte code of it, is shared by all systems that run the same code.
A deploy that changes code or configuration ends them: the next invocation starts a new one.
"""

import hashlib
import io
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from moto.awslambda.models import LambdaFunction, LayerVersion
from moto.awslambda.utils import get_backend
from moto.sts.models import sts_backends

from local.cloud import ACCOUNT, PARTITION, REGION, SHARED
from local.cloud.logs import Output
from local.cloud.runtime_api import InvocationResult, RuntimeApi
from local.cloud.runtime_path import interpreter, link_runtime, runtime_versions

INIT_SECONDS = 30  # a busy machine is slower than Lambda's own 10
TREES = ("task", "opt", "runtime")
MAX_ENVIRONMENTS = 8  # a bound for this machine; Lambda's is the account's concurrency


def session_credentials(role_arn: str, session: str) -> dict[str, str]:
    """Environment variables with new session credentials of a role, as the service hands them out."""
    role = sts_backends[ACCOUNT][PARTITION].assume_role(
        REGION, session, role_arn, "", 3600, ""
    )
    return {
        "AWS_ACCESS_KEY_ID": role.access_key_id,
        "AWS_SECRET_ACCESS_KEY": role.secret_access_key,
        "AWS_SESSION_TOKEN": role.session_token,
    }


class ExecutionEnvironment:
    """One process with its Runtime API."""

    def __init__(self, deployed: LambdaFunction, folder: Path, endpoint: str) -> None:
        self.release = release_of(deployed)
        self.api = RuntimeApi(deployed.function_arn, float(deployed.timeout))
        self.timeout = float(deployed.timeout)
        self.is_warm = False
        self.output = Output(deployed, folder / "function.log")
        self.process = subprocess.Popen(
            [interpreter(), "-S", "-m", "awslambdaric", str(deployed.handler)],
            cwd=folder / "task",
            env=_environment(deployed, folder, endpoint, self.api.address),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.output.keep(self.process.stdout or io.BytesIO())

    def invoke(self, payload: bytes) -> InvocationResult:
        """One invocation; after an error of the environment itself it is dead."""
        begin = time.monotonic()
        request_id = self.api.send(payload)
        self.output.say(f"START RequestId: {request_id} Version: $LATEST")
        result = self._finished(request_id)
        milliseconds = (time.monotonic() - begin) * 1000
        self.output.say(f"END RequestId: {request_id}")
        self.output.say(
            f"REPORT RequestId: {request_id}\tDuration: {milliseconds:.2f} ms"
        )
        return result

    def _finished(self, request_id: str) -> InvocationResult:
        deadline = (
            time.monotonic() + self.timeout + (0 if self.is_warm else INIT_SECONDS)
        )
        self.is_warm = True
        while time.monotonic() < deadline:
            if result := self._result(request_id):
                return result
            if not self.is_alive and self.api.results.empty():
                self.kill()
                status = self.process.returncode
                return InvocationResult.of_error(
                    "Runtime.ExitError", f"the runtime exited with status {status}"
                )
        self.kill()
        overrun = f"Task timed out after {self.timeout:.2f} seconds"
        self.output.say(f"{request_id} {overrun}")
        return InvocationResult.of_error("Sandbox.Timedout", overrun)

    def _result(self, request_id: str) -> InvocationResult | None:
        """The result of the invocation in hand, or the error that starting ended in; none within half a second."""
        with suppress(queue.Empty):
            answered, result = self.api.results.get(timeout=0.5)
            if answered == "init":
                self.kill()
            if answered in (request_id, "init"):
                return result
        return None

    @property
    def is_alive(self) -> bool:
        """Whether it can take another invocation."""
        return self.process.poll() is None

    def kill(self) -> None:
        """End the process and all it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.api.close()


class Functions:
    """Every deployed function, invoked through the Lambda API or by an event source."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.folder = folder
        self.endpoint = endpoint
        self._lock = threading.Lock()
        self._idle: dict[str, list[ExecutionEnvironment]] = {}
        self._unpacked: dict[str, str] = {}
        self._slots = threading.BoundedSemaphore(MAX_ENVIRONMENTS)

    def install(self) -> None:
        """Run what the Lambda API of this process's moto invokes."""
        functions = self

        def run(self: LambdaFunction, event: Any = None) -> tuple[str, bool, str]:
            result = functions.invoke(self, json.dumps(event).encode())
            return result.payload.decode(), result.is_error, ""

        create = LambdaFunction.create_from_cloudformation_json.__func__  # type: ignore[attr-defined]

        def create_with_properties(
            cls: type, name: str, resource: Any, *args: Any, **kwargs: Any
        ) -> LambdaFunction:
            """Keep the properties that moto's CloudFormation drops."""
            deployed: LambdaFunction = create(cls, name, resource, *args, **kwargs)
            deployed.layers = deployed._get_layers_data(
                resource["Properties"].get("Layers", [])
            )
            deployed.logging_config = resource["Properties"].get("LoggingConfig", {})  # type: ignore[attr-defined]
            return deployed

        LayerVersion.physical_resource_id = property(lambda self: self.arn)  # type: ignore[attr-defined]  # what !Ref gives
        created: Any = classmethod(create_with_properties)
        LambdaFunction.create_from_cloudformation_json = created  # type: ignore[method-assign]
        LambdaFunction._invoke_lambda = run  # type: ignore[method-assign]  # where moto would start Docker

    def invoke(self, deployed: LambdaFunction, payload: bytes) -> InvocationResult:
        """Run one invocation in a warm execution environment, or in a new one."""
        with self._slots:
            environment = self._take(deployed)
            result = environment.invoke(payload)
            self._keep(environment, deployed)
            return result

    def _keep(
        self, environment: ExecutionEnvironment, deployed: LambdaFunction
    ) -> None:
        """For the next invocation, unless it died or is of an earlier deploy."""
        with self._lock:
            if environment.release != release_of(deployed):
                environment.kill()
            elif environment.is_alive:
                self._idle[deployed.function_arn].append(environment)

    def close(self) -> None:
        """End every execution environment."""
        with self._lock:
            for environments in self._idle.values():
                while environments:
                    environments.pop().kill()

    def _take(self, deployed: LambdaFunction) -> ExecutionEnvironment:
        arn, release = deployed.function_arn, release_of(deployed)
        with self._lock:
            folder = self.folder / deployed.function_name
            if self._unpacked.get(arn) != code_of(deployed):
                _link(_unpacked(deployed, self.folder.parent / SHARED), folder)
                self._unpacked[arn] = code_of(deployed)
            idle = self._idle.setdefault(arn, [])
            while idle:
                environment = idle.pop()
                if environment.is_alive and environment.release == release:
                    return environment
                environment.kill()
            return ExecutionEnvironment(deployed, folder, self.endpoint)


def release_of(deployed: LambdaFunction) -> str:
    """What tells one deploy of a function from the next: its configuration and code."""
    configuration = (
        deployed.handler,
        deployed.timeout,
        deployed.memory_size,
        deployed.role,
        sorted(deployed.environment_vars.items()),
    )
    return repr(configuration) + code_of(deployed)


def code_of(deployed: LambdaFunction) -> str:
    """A digest of all that it sees: its code, its layers and the runtime's packages."""
    layers = [layer.code_sha_256 for layer in _layers_of(deployed)]
    seen = repr((layers, runtime_versions())).encode()
    return hashlib.sha256(seen + deployed.code_bytes).hexdigest()


def _layers_of(deployed: LambdaFunction) -> list[Any]:
    """Those that it was deployed with, also one that a deploy under way has deleted already."""
    backend = get_backend(ACCOUNT, REGION)
    known: dict[str, Any] = vars(deployed).setdefault("known_layers", {})
    names = [layer["Arn"] for layer in deployed.layers]
    for arn in names:
        known[arn] = backend.layers_versions_by_arn(arn) or known[arn]
    return [known[arn] for arn in names]


def _unpacked(deployed: LambdaFunction, shared: Path) -> Path:
    """A folder with /var/task, /opt and /var/runtime of this code, laid out once."""
    folder = shared / code_of(deployed)
    if folder.exists():
        return folder
    shared.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=shared) as place:
        new = Path(place, "new")
        for tree in TREES:
            (new / tree).mkdir(parents=True)
        zipfile.ZipFile(io.BytesIO(deployed.code_bytes)).extractall(new / "task")
        for layer in _layers_of(deployed):
            zipfile.ZipFile(io.BytesIO(layer.code_bytes)).extractall(new / "opt")
        link_runtime(new / "runtime")
        try:
            new.rename(folder)
        except OSError:
            if not folder.exists():  # else another system was faster
                raise
    return folder


def _link(unpacked: Path, folder: Path) -> None:
    """What an earlier deploy laid out there is gone."""
    folder.mkdir(parents=True, exist_ok=True)
    for tree in TREES:
        (folder / tree).unlink(missing_ok=True)
        (folder / tree).symlink_to(unpacked / tree)


def _environment(
    deployed: LambdaFunction, folder: Path, endpoint: str, api: str
) -> dict[str, str]:
    # Where they really are: byte code is kept by the name of its source.
    task, layers, runtime = (str((folder / tree).resolve()) for tree in TREES)
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        # What it imports lies in a tree that may be somebody else's.
        "PYTHONPYCACHEPREFIX": str(Path(task).with_name("cache")),
        "PYTHONPATH": f"{task}:{layers}/python:{runtime}",
        "LAMBDA_TASK_ROOT": task,
        "_HANDLER": str(deployed.handler),
        "AWS_LAMBDA_RUNTIME_API": api,
        "AWS_LAMBDA_FUNCTION_NAME": deployed.function_name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(deployed.memory_size),
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_FORMAT": deployed.logging_config.get("LogFormat", "Text"),  # type: ignore[attr-defined]
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": endpoint,
        **session_credentials(deployed.role, deployed.function_name),
        **{name: str(value) for name, value in deployed.environment_vars.items()},
    }
