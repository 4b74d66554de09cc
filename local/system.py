"""The whole system on one machine: the deployed stack, and a fleet of real HAProxy and HTTP hosts for its instances.

Nothing outlives it: hosts end with the pipe that holds them, the AWS process with its standard input.
"""

import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self

from local.cloud import SHARED
from local.deployment import PROJECT, settings
from local.lab import (
    BackendHost,
    Client,
    Network,
    ProxyHost,
    Style,
    sample_config,
    self_signed,
)
from local.lab.client import Response
from local.stack import Stack

# Root's files, not in the tree, which is somebody else's; `make invoke` looks here, so no name by chance.
FOLDERS = Path(
    "/tmp",  # noqa: S108
    f"haproxy-ec2-sync-{hashlib.sha256(bytes(PROJECT)).hexdigest()[:8]}",
)
CURRENT = "current.json"
CERTIFICATE = "/etc/haproxy/certs/local.pem"
SERVER_NAME = "app.example"
VPC = "172.31.0.0/16"
"""The default VPC, which every account has."""
INSTANCE_PROFILE = "haproxy"
IMAGE = "ami-12c6146b"
HTTP, HTTPS = 8080, 443
"""Ports on which backends and configured proxies answer."""
TYPES = ("tomcat", "haproxy")
"""Values of the tag `Type` of backends and proxies."""
SHUTDOWN_SECONDS = 1.0
"""How long a host still serves after the call that terminates it."""
DEADLINE_SECONDS = 180
"""Of a wait, unless it says otherwise: a busy machine is no fault."""
PAUSE_SECONDS = 1.0
"""At most, between two questions of a wait."""
REGISTER_SECONDS = 3.0
"""How long after the launch of a proxy its SSM agent registers."""
LOCAL_PARAMETERS = {
    "DriftCheckMinutes": "0.15",
    "HoldMinutes": "0.25",
    "RolloutSpacingSeconds": "1",
}
"""Short waits, so that a person and a test see them end."""


@dataclass(frozen=True, slots=True)
class Backend:
    """A launched backend; `name` is also what its HTTP server answers."""

    instance_id: str
    host: BackendHost

    @property
    def name(self) -> str:
        """First label of its private DNS name."""
        return self.host.name


@dataclass(frozen=True, slots=True)
class Proxy:
    """A launched proxy."""

    instance_id: str
    host: ProxyHost

    @property
    def address(self) -> str:
        """Its private IPv4 address."""
        return str(self.host.ipv4)


class LocalSystem:
    """A context manager; `parameters` of the stack are added to `LOCAL_PARAMETERS`, `speed` multiplies schedules.

    Machines of terminated instances shut down, or lose their power without an answer to what is under way.
    """

    def __init__(
        self,
        parameters: Mapping[str, str] | None = None,
        *,
        speed: float = 6,
        loses_power: bool = False,
    ) -> None:
        self.parameters = {**LOCAL_PARAMETERS, **(parameters or {})}
        self.speed = speed
        self.loses_power = loses_power
        self.environment = settings()["Environment"]
        self.folder = fresh_folder()
        self._started_at = time.time()
        self.backends: dict[str, Backend] = {}
        self.proxies: dict[str, Proxy] = {}
        self._lock = threading.RLock()
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        """Deploy, and lay the network."""
        with ExitStack() as starting:
            # The stack after the network, so that its agents end before their hosts do.
            self.network = starting.enter_context(Network(VPC))
            self.client = starting.enter_context(
                Client(self.network, ipv4="172.31.255.10")
            )
            self.stack = starting.enter_context(
                Stack(self.folder, self.parameters, self.speed)
            )
            self._make_instance_profile()
            self.publish()
            self._closing = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """End everything."""
        (self.folder / CURRENT).unlink(missing_ok=True)
        self._closing.close()

    def publish(self, urls: Mapping[str, str] | None = None) -> None:
        """Tell `newest` where it is; `urls` by instance are known once it is kept for play."""
        known = {
            "endpoint": self.stack.endpoint,
            "function": self.stack.outputs["FunctionName"],
            "urls": urls,
            "started_at": self._started_at,
        }
        written = self.folder / f"{CURRENT}.new"
        written.write_text(json.dumps(known))
        written.chmod(0o644)
        written.rename(self.folder / CURRENT)

    def launch_backend(
        self, zone: str = "ap-southeast-2a", *, is_spot: bool = False, **tags: str
    ) -> Backend:
        """Run an instance tagged as a backend, with more tags or others (`Type="batch"`); it serves at once."""
        spot = {"InstanceMarketOptions": {"MarketType": "spot"}} if is_spot else {}
        with self._lock:
            instance = self._run(zone, {"Type": "tomcat", **tags}, **spot)
            return self._start_backend(instance)

    def launch_proxy(
        self,
        style: Style,
        zone: str = "ap-southeast-2a",
        config: str = "",
        *,
        has_agent: bool = True,
        **tags: str,
    ) -> Proxy:
        """Run an instance tagged as a proxy: HAProxy runs (its image's config, or this), the agent comes later.

        Without one it does as soon as somebody says so (`start_agent`).
        """
        with self._lock:
            instance = self._run(
                zone,
                {"Type": "haproxy", **tags},
                IamInstanceProfile={"Name": INSTANCE_PROFILE},
            )
            return self._start_proxy(instance, style, config, has_agent=has_agent)

    def _start_backend(self, instance: Any) -> Backend:
        name = instance["PrivateDnsName"].partition(".")[0]
        host = BackendHost(self.network, name, ipv4=instance["PrivateIpAddress"])
        backend = Backend(instance["InstanceId"], host)
        self.backends[backend.instance_id] = backend
        return backend

    def _start_proxy(
        self,
        instance: Any,
        style: Style,
        config: str = "",
        *,
        has_agent: bool = True,
    ) -> Proxy:
        name = instance["PrivateDnsName"].partition(".")[0]
        host = ProxyHost(self.network, name, style, ipv4=instance["PrivateIpAddress"])
        host.write(CERTIFICATE, self_signed(SERVER_NAME), mode=0o600)
        host.start(config or sample_config({}))
        proxy = Proxy(instance["InstanceId"], host)
        self.proxies[proxy.instance_id] = proxy
        if has_agent:
            _later(REGISTER_SECONDS, lambda: self.start_agent(proxy))
        return proxy

    def members(self) -> dict[str, Backend | Proxy]:
        """Everybody who has a machine, by instance."""
        return {**self.backends, **self.proxies}

    def follow(self) -> None:
        """Give each instance that is pending or running a machine, whoever launched it; the others lose theirs.

        It runs HAProxy if it is tagged so by now. Raises what starting a machine raises, after which it may be tried
        again.
        """
        with self._lock:
            alive = self.stack.instances("pending", "running")
            for instance_id in self.members().keys() - alive.keys():
                self._remove(instance_id)
            for instance_id in alive.keys() - self.members().keys():
                self._start(alive[instance_id])

    def _start(self, instance: Any) -> None:
        tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
        if tags.get("Type") == "haproxy":
            self._start_proxy(instance, Style.MASTER_WORKER)
        else:
            self._start_backend(instance)

    def terminate(self, instance_id: str) -> None:
        """Terminate an instance; its host serves for a moment more, then is gone from the network."""
        with self._lock:
            self.stack.ec2.terminate_instances(InstanceIds=[instance_id])
            self._remove(instance_id)

    def kill(self, backend: Backend) -> None:
        """Its machine loses its power now, and EC2 says so."""
        backend.host.unplug()
        self.terminate(backend.instance_id)

    def _remove(self, instance_id: str) -> None:
        member = self.backends.pop(instance_id, None) or self.proxies.pop(
            instance_id, None
        )
        if isinstance(member, Proxy):
            self.stack.order(crash=instance_id)
        if member:
            _later(SHUTDOWN_SECONDS, lambda: self._end(member))

    def _end(self, member: Backend | Proxy) -> None:
        if self.loses_power:
            member.host.unplug()
        elif isinstance(member, Backend):
            member.host.shut_down()
        member.host.close()

    def tag(self, tags: Mapping[str, str], *instance_ids: str) -> None:
        """Create or overwrite tags, on all instances in one call."""
        pairs: Any = [{"Key": key, "Value": value} for key, value in tags.items()]
        self.stack.ec2.create_tags(Resources=list(instance_ids), Tags=pairs)

    def untag(self, key: str, *instance_ids: str) -> None:
        """Delete a tag, whatever its values, from all instances in one call."""
        self.stack.ec2.delete_tags(Resources=list(instance_ids), Tags=[{"Key": key}])

    def invoke(self, event: Mapping[str, Any]) -> Any:
        """What the function answers to a direct invoke."""
        return self.stack.invoke(event)

    def status(self) -> dict[str, Any]:
        """The operator's view."""
        status: dict[str, Any] = self.invoke({"action": "status"})
        return status

    def online(self) -> set[str]:
        """The proxies whose SSM agent Run Command can reach."""
        listed = self.stack.client("ssm").describe_instance_information()[
            "InstanceInformationList"
        ]
        return {each["InstanceId"] for each in listed if each["PingStatus"] == "Online"}

    def https_get(self, proxy: Proxy, path: str = "/") -> Response:
        """One request through a proxy. Raises OSError."""
        return self.client.get(proxy.address, path, port=443, server_name=SERVER_NAME)

    def reached(self, proxy: Proxy, requests: int = 12) -> set[str]:
        """Names of the backends that answer through a proxy."""
        responses = [self.https_get(proxy) for _ in range(requests)]
        return {
            response.body.strip()
            for response in responses
            if response.status == HTTPStatus.OK
        }

    def wait_until(
        self,
        what: str,
        condition: Callable[[], object],
        seconds: float = DEADLINE_SECONDS,
    ) -> float:
        """Wait for a condition, however often it raises OSError; the seconds it took. TimeoutError says `what`.

        The longer it takes, the less often it is asked: most questions are requests to all that runs here.
        """
        start = time.monotonic()
        error: OSError | None = None
        while time.monotonic() < start + seconds:
            try:
                if condition():
                    return time.monotonic() - start
            except OSError as failure:
                error = failure
            waited = time.monotonic() - start
            time.sleep(min(PAUSE_SECONDS, 0.1 + waited / 10))
        raise TimeoutError(
            f"{what}: not within {seconds:.0f} s, logs in {self.folder}"
        ) from error

    def wait_until_serving(
        self, *backends: Backend, seconds: float = DEADLINE_SECONDS
    ) -> float:
        """Wait until each proxy's clients reach exactly these backends; the seconds it took."""
        wanted = {backend.name for backend in backends}

        def serves() -> bool:
            return all(
                self.reached(proxy, 3 * len(wanted)) == wanted
                for proxy in self.proxies.values()
            )

        return self.wait_until(
            f"clients reach {', '.join(sorted(wanted))}", serves, seconds
        )

    def _run(self, zone: str, tags: Mapping[str, str], **options: Any) -> Any:
        everybodys = {"Environment": self.environment}
        return run_instance(self.stack.ec2, {**everybodys, **tags}, zone, **options)

    def start_agent(self, proxy: Proxy) -> None:
        """Its SSM agent registers."""
        if proxy.instance_id in self.proxies:
            root = f"/proc/{proxy.host.pid}/root"
            self.stack.order(
                register=proxy.instance_id, enter=proxy.host.enter, root=root
            )

    def stop_agent(self, proxy: Proxy) -> None:
        """Its SSM agent ends, minutes ago: the service has noticed."""
        self.stack.order(crash=proxy.instance_id, is_noticed=True)

    def _make_instance_profile(self) -> None:
        """The proxies' instance profile, as the README has the operator make it."""
        iam, name = self.stack.client("iam"), INSTANCE_PROFILE
        trust = {
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "ec2.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                }
            ]
        }
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
        for arn in (
            self.stack.outputs["ProxyPolicyArn"],
            "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore",
        ):
            iam.attach_role_policy(RoleName=name, PolicyArn=arn)
        iam.create_instance_profile(InstanceProfileName=name)
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)


def run_instance(ec2: Any, tags: Mapping[str, str], zone: str, **options: Any) -> Any:
    """Launch one instance with these tags, in the default subnet of its zone; as EC2 describes it."""
    pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
    answer = ec2.run_instances(
        ImageId=IMAGE,
        InstanceType="t3.micro",
        MinCount=1,
        MaxCount=1,
        Placement={"AvailabilityZone": zone},
        TagSpecifications=[{"ResourceType": "instance", "Tags": pairs}],
        **options,
    )
    return answer["Instances"][0]


def newest() -> Mapping[str, Any] | None:
    """What a running system has published: of those kept for play the one started last, else of all; None for none."""
    running: list[dict[str, Any]] = [
        json.loads(file.read_text())
        for file in FOLDERS.glob(f"*/{CURRENT}")
        if Path("/proc", file.parent.name).exists()
    ]
    return max(running, key=_rank, default=None)


def _rank(current: Mapping[str, Any]) -> tuple[bool, float]:
    return current["urls"] is not None, current["started_at"]


def _later(seconds: float, work: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, work)
    timer.daemon = True
    timer.start()


def fresh_folder() -> Path:
    """A folder for this process: logs, artifacts; those of processes that ended are removed, with what they shared."""
    FOLDERS.mkdir(exist_ok=True)
    if FOLDERS.is_symlink() or FOLDERS.stat().st_uid != os.geteuid():
        raise PermissionError(f"{FOLDERS} is not ours: remove it")
    for folder in FOLDERS.iterdir():
        if folder.name.isdigit() and not Path("/proc", folder.name).exists():
            shutil.rmtree(folder, ignore_errors=True)
    if not any(folder.name.isdigit() for folder in FOLDERS.iterdir()):
        shutil.rmtree(FOLDERS / SHARED, ignore_errors=True)
    own = FOLDERS / str(os.getpid())
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir()
    for readable in (FOLDERS, own):  # by `make invoke`, whatever the umask
        readable.chmod(0o755)
    return own
