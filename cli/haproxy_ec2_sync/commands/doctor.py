"""`doctor`: asks each part of a stack why nothing happens."""

import click

from haproxy_ec2_sync import function
from haproxy_ec2_sync.desk import Desk, at_desk, examples
from haproxy_ec2_sync.views import doctor as view


@click.command("doctor", epilog=examples("doctor --env staging", "doctor --json"))
@at_desk
def command(desk: Desk) -> int:
    """Why does nothing happen? Checks each part of the stack and of its fleet, and says what to do.

    It reads only. What you may not ask is said in its line, and stops no other check.

    Exit codes: 0 all is right; 1 something is wrong, or could not be asked.
    """
    # The checks are a third of the program; no other command reads them.
    from haproxy_ec2_sync.doctor import checks  # noqa: PLC0415
    from haproxy_ec2_sync.doctor.account import Account  # noqa: PLC0415

    account = Account(desk.target, function.clients(desk.target))
    found = list(checks.run(account))
    lines = [
        {
            "check": each.check,
            "ok": each.line.ok,
            "detail": each.line.detail,
            "advice": each.line.advice,
        }
        for each in found
    ]
    desk.show(lines, view.doctor)
    return int(not all(each.is_right for each in found))
