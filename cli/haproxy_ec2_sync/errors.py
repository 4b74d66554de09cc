"""What ends a command: one line on the standard error stream, and exit code 1."""

import click

from haproxy_ec2_sync.text import plain


class Failed(click.ClickException):
    """The command could not do what it was asked; the message says what is wrong and what to do."""


def one_line(text: object) -> str:
    """The text on one line, harmless, whatever a service or a host put into it."""
    return " ".join(plain(text).split())
