"""`check`: what each proxy's live file and the config to come differ in, by the proxy's own word."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import click

from haproxy_ec2_sync import acting, checked, clock
from haproxy_ec2_sync.checked import DIFFERS, SAME, Check
from haproxy_ec2_sync.desk import Desk, at_desk, examples
from haproxy_ec2_sync.errors import Failed
from haproxy_ec2_sync.function import Answer, Refused
from haproxy_ec2_sync.parameters import Given
from haproxy_ec2_sync.text import count
from haproxy_ec2_sync.views import check as view
from haproxy_ec2_sync.waiting import until

CHANGES = 2  # as `plan`
TIMEOUT_SECONDS = 120.0
OLDER = "this function is older than this command line, and checks nothing: deploy the same release"


@click.command(
    "check",
    epilog=examples(
        "check --env staging",
        "check --env staging --proxy edge-1 --proxy edge-2",
        "check --env staging --json | jq '.proxies[].result'",
    ),
)
@click.option(
    "--proxy",
    "wanted",
    type=Given(),
    multiple=True,
    metavar="NAME|ID",
    help="Only this one, with all of its diff; may be given several times.",
)
@acting.timeout_option(
    TIMEOUT_SECONDS, "How long to wait for the proxies.", "--deadline"
)
@at_desk
def command(desk: Desk, *, wanted: tuple[str, ...], timeout: float) -> int:
    """What would change in each proxy's live file, and whether it would be taken; in a freeze, too.

    Every proxy downloads the config that `plan` would publish, runs all its checks, and touches nothing.

    Exit code 0: every file is the same; 2: some differ, and every proxy would take the config; 1: anything else.
    """
    begun = _begun(desk)
    ask = _question(desk, begun["id"], wanted)
    with acting.Progress() as shown:
        answer = Wait(ask, shown.told, timeout).run()
    desk.show(answer, partial(view.check, begun=begun))
    return _exit_code(checked.check(answer), timeout)


def _begun(desk: Desk) -> Answer:
    try:
        return desk.ask("check")
    except Refused as error:
        if "unknown action" in str(error.message):
            raise Failed(OLDER) from error
        raise


def _question(
    desk: Desk, check_id: str, wanted: tuple[str, ...]
) -> Callable[[], Answer]:
    """Asks for all rows; or one by one, as an answer about a big fleet has a part of each diff."""
    whole = partial(desk.ask, "check", id=check_id)
    if not wanted:
        return whole
    chosen = checked.chosen(checked.check(whole()), wanted)
    return lambda: checked.merged(whole(proxy=each) for each in chosen)


@dataclass
class Wait:
    """Asks until every proxy has said something, whatever goes wrong meanwhile, for as long as was said."""

    ask: Callable[[], Answer]
    told: Callable[[str], None]
    timeout: float
    answer: Answer | None = None
    trouble: str = ""

    def run(self) -> Answer:
        """The last answer there was; `Failed` if there was none."""
        until(self._is_done, self._fails, clock.now() + self.timeout)
        if self.answer is None:
            raise Failed(f"within {self.timeout:.0f} s no answer: {self.trouble}")
        return self.answer

    def _is_done(self) -> bool:
        self.answer = self.ask()
        check = checked.check(self.answer)
        self.told(_progress(check))
        return not check.named(checked.AWAITED)

    def _fails(self, words: str) -> None:
        self.trouble = words
        self.told(words)


def _progress(check: Check) -> str:
    """`1 of 3 proxies checked, waiting for edge-2, edge-3`."""
    awaited = check.named(checked.AWAITED)
    done = len(check.rows) - len(awaited)
    words = f"{done} of {count(len(check.rows), 'proxy')} checked"
    return f"{words}, waiting for {view.some(awaited)}" if awaited else words


def _exit_code(check: Check, timeout: float) -> int:
    """`Failed` for anything but files that are the same, or would be taken."""
    results = {row.result for row in check.rows}
    if results and results <= {SAME, DIFFERS}:
        return CHANGES if DIFFERS in results else 0
    raise Failed(view.trouble(check, timeout))
