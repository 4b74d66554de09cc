"""The pictures of the command line in docs/pictures: `python -m tests.pictures` draws them anew.

What they show is the real answer of a world like that of tests/contract: the same on every machine.
"""

import io
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from moto.moto_api._internal import mock_random
from moto.s3.models import s3_backends
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console, RenderableType
from rich.terminal_theme import MONOKAI

from haproxy_apply.server_state import Backend
from haproxy_ec2_sync.views import check, plan, status
from tests.contract.world import ACCOUNT, World, new_world

FOLDER = Path(__file__).parents[1] / "docs/pictures"
WIDTH = 108
FONTS = (
    "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace"
)

FORMAT = re.sub(
    # The fonts that readers have: rich's own format loads one from a server of somebody else's.
    r"@font-face \{\{.*?\}\}\s*",
    "",
    CONSOLE_SVG_FORMAT.replace("Fira Code, monospace", FONTS)
    .replace("font-family: arial", "font-family: sans-serif")
    # Not every viewer keeps blanks at the begin of a text.
    .replace('-matrix">', '-matrix" xml:space="preserve">'),
    flags=re.DOTALL,
)

ZONES = ("eu-west-1a", "eu-west-1b", "eu-west-1c")


def draw(name: str, title: str, view: RenderableType) -> str:
    """The view as on a dark terminal, as SVG."""
    console = Console(
        file=io.StringIO(),
        record=True,
        width=WIDTH,
        force_terminal=True,
        color_system="truecolor",
        highlight=False,
        legacy_windows=False,
        _environ={},
    )
    console.print(view)
    return console.export_svg(
        title=title, theme=MONOKAI, code_format=FORMAT, unique_id=name
    )


@contextmanager
def fleet() -> Iterator[World]:
    """Four backends and four proxies in three zones, all of them settled."""
    with new_world() as world:
        world.clients.ec2.describe_instances()  # moto makes an account's networks by then
        mock_random.seed(12)
        for number in range(4):
            launch(world, "tomcat", number)
        for number in range(4):
            world.join(launch(world, "haproxy", number))
        world.sweep()
        world.settle()
        world.pass_time(60)
        yield world


def launch(world: World, kind: str, number: int) -> str:
    """An instance with an address that says what it is; its id."""
    host = {"tomcat": 20, "haproxy": 4}[kind] + number
    zone = number % len(ZONES)
    tags = {"Environment": world.settings.environment, "Type": kind}
    answer = world.clients.ec2.run_instances(
        ImageId="ami-12345678",
        MinCount=1,
        MaxCount=1,
        PrivateIpAddress=f"10.77.{16 * zone}.{host}",
        Placement={"AvailabilityZone": ZONES[zone]},
        TagSpecifications=[
            {
                "ResourceType": "instance",
                "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
            }
        ],
    )
    instance_id: str = answer["Instances"][0]["InstanceId"]
    return instance_id


def upload(world: World, key: str, body: bytes) -> None:
    """An object that was put at the time of the world: the stand-in's S3 goes by the machine's clock."""
    bucket = world.settings.bucket
    world.clients.s3.put_object(Bucket=bucket, Key=key, Body=body)
    stored: Any = s3_backends[ACCOUNT]["aws"].get_object(bucket, key)
    stored.last_modified = datetime.fromtimestamp(world.now, UTC)


def of_status() -> RenderableType:
    """A full disk on the canary, a stopped HAProxy, a server that is down, and who is behind them."""
    with fleet() as world:
        # By their ids, of which the first is the canary.
        full, stopped, sees_one_down, _ = (
            world.proxies[key] for key in sorted(world.proxies)
        )
        full.breaks = lambda _parameters: ("failed", "cannot-write")
        stopped.haproxy = "stopped"
        sees_one_down.backends = (Backend("application", 3, 1),)
        launch(world, "tomcat", 4)
        world.sweep()
        world.pass_time(40)
        world.act("inspect")
        world.pass_time(30)
        return status.status(world.act("status"), world.now)


def of_plan() -> RenderableType:
    """A server that joins, one that gets a weight, one that goes, and a timeout that was changed."""
    with fleet() as world:
        weighted, gone = (backend.instance_id for backend in world.state.pool[:2])
        launch(world, "tomcat", 4)
        world.clients.ec2.create_tags(
            Resources=[weighted], Tags=[{"Key": "haproxy:weight", "Value": "20"}]
        )
        world.terminate(gone)
        upload(
            world, f"vars/{world.settings.environment}.yml", b"session_timeout: 30m\n"
        )
        return plan.plan(world.act("plan"))


def of_check() -> RenderableType:
    """A server that joins, as two proxies see it; a file that somebody edited; and a port that another program has."""
    with fleet() as world:
        _, edited, taken, _ = (world.proxies[key] for key in sorted(world.proxies))
        launch(world, "tomcat", 4)
        config = world.texts[edited.installed]
        world.drift(edited.instance_id, config.replace("roundrobin", "leastconn"))
        taken.refusal = ("cannot-bind", "0.0.0.0:443: Address already in use")
        begun = world.act("check")
        world.pass_time(30)
        return check.check(world.act("check", id=begun["id"]), begun)


PICTURES: dict[str, Callable[[], RenderableType]] = {
    "status": of_status,
    "plan": of_plan,
    "check": of_check,
}


def drawn(name: str) -> str:
    """The picture of a command."""
    title = f"haproxy-ec2-sync {name} --env staging"
    return draw(name, title, PICTURES[name]())


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    logging.disable()
    with redirect_stdout(io.StringIO()):  # the function's metrics
        for each in PICTURES:
            (FOLDER / f"{each}.svg").write_text(drawn(each))
