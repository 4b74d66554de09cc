"""Where an operator sits: the stack that the options name, asked when it is needed, and the screen for answers."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, wraps
from pathlib import Path
from typing import Any

import click
from rich.console import Console, RenderableType

from haproxy_ec2_sync import function
from haproxy_ec2_sync.errors import Failed
from haproxy_ec2_sync.function import Answer, Function
from haproxy_ec2_sync.parameters import Given
from haproxy_ec2_sync.streams import screen
from haproxy_ec2_sync.target import Options, Target, environments, target

NAME = "haproxy-ec2-sync"
SAMCONFIG = Path("samconfig.toml")
VARIABLES = "HAPROXY_EC2_SYNC_"
"""How variables of the environment begin that stand for options."""


def examples(*lines: str) -> str:
    """The end of a command's help; each line follows the name of the program."""
    typed = "\n".join(f"  {NAME} {line}" for line in lines)
    return f"\b\nExamples:\n{typed}"  # click leaves a paragraph after \b as it is


@dataclass(frozen=True)
class Desk:
    """What every command gets."""

    options: Options
    is_json: bool
    console: Console

    @cached_property
    def target(self) -> Target:
        """The stack; `Failed` if nobody said which."""
        return target(self.options)

    @cached_property
    def function(self) -> Function:
        """Its function; `Failed` if there is none."""
        return function.find(self.target)

    def ask(self, action: str, **options: Any) -> Answer:
        """What the function answers."""
        return self.function.ask(action, **options)

    def show(
        self,
        answer: Mapping[str, Any] | Sequence[Any],
        view: Callable[[Any], RenderableType],
    ) -> None:
        """The answer: as JSON, where that was asked for, else as a person reads it."""
        if self.is_json:
            click.echo(json.dumps(answer, indent=2))
        else:
            self.console.print(view(answer))


def _offered(context: click.Context, _option: click.Parameter, begun: str) -> list[str]:
    """Environments that begin so; none where there is no file to read: somebody only pressed a key."""
    try:
        known = environments(context.params.get("config_file") or SAMCONFIG)
    except Failed:
        return []
    return [env for env in known if env.startswith(begun)]


def _common(name: str, **settings: Any) -> Callable[[Any], Any]:
    """An option of all commands, which a variable of the environment can give, too."""
    variable = name.removeprefix("--").replace("-", "_").upper()
    return click.option(
        name, envvar=f"{VARIABLES}{variable}", show_envvar=True, **settings
    )


OPTIONS = (
    _common(
        "--env",
        type=Given(),
        default="default",
        shell_complete=_offered,
        show_default=True,
        help="The table of samconfig.toml that names the stack.",
    ),
    _common(
        "--config-file",
        type=click.Path(path_type=Path),
        default=SAMCONFIG,
        show_default=True,
        help="SAM's file with the tables.",
    ),
    _common("--stack-name", type=Given(), help="A stack that no table names."),
    _common("--region", type=Given(), help="The AWS region, instead of the table's."),
    _common(
        "--profile",
        type=Given(),
        help="A profile of your AWS configuration, not the table's.",
    ),
    _common(
        "--endpoint-url",
        type=Given(),
        help="Ask this address, such as the local system's, not AWS.",
    ),
    click.option("--json", "is_json", is_flag=True, help="The answer as JSON."),
)
"""What every command takes."""


def at_desk(command: Callable[..., int | None]) -> Callable[..., int | None]:
    """A command that takes every desk's options, and gets the desk as its first argument."""

    @wraps(command)
    def seated(*, is_json: bool, **given: Any) -> int | None:
        names = Options.__dataclass_fields__
        options = Options(**{name: given.pop(name) for name in names})
        desk = Desk(options, is_json, screen())
        return command(desk, **given)

    for option in reversed(OPTIONS):
        seated = option(seated)
    return seated
