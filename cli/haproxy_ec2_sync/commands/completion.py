"""`completion`: what a shell needs to complete commands and options."""

import click
from click.shell_completion import get_completion_class

from haproxy_ec2_sync.desk import NAME, examples
from haproxy_ec2_sync.errors import Failed

VARIABLE = f"_{NAME}_COMPLETE".replace("-", "_").upper()
"""By which the shell asks; click reads it."""


@click.command(
    "completion",
    epilog=examples(
        "completion bash >> ~/.bash_completion",
        'completion zsh > "${fpath[1]}/_haproxy-ec2-sync"',
        "completion fish > ~/.config/fish/completions/haproxy-ec2-sync.fish",
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the script that completes commands and options in your SHELL."""
    of_shell = get_completion_class(shell)
    if of_shell is None:
        raise Failed(f"click of this installation completes nothing in {shell}")
    completion = of_shell(context.find_root().command, {}, NAME, VARIABLE)
    click.echo(completion.source())
