"""Machines follow EC2: whoever launches, scales or terminates instances, they come up and end with them."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

from local.system import LocalSystem

FOLLOW_SECONDS = 1.0
"""How soon a machine follows its instance: EC2 is asked for all of them that often, for as long as this lasts."""

# What a machine that cannot start raises: an address that its predecessor still has, namespaces, HAProxy.
_TROUBLES = (
    BotoCoreError,
    ClientError,
    OSError,
    RuntimeError,
    ValueError,
    subprocess.CalledProcessError,
)


@contextmanager
def followed(
    system: LocalSystem,
    say: Callable[[str], None],
    *more: Callable[[], None],
    seconds: float = FOLLOW_SECONDS,
) -> Iterator[None]:
    """While this lasts, machines follow EC2, and `more` is called after each look.

    What cannot be done is said, once in the same words, and tried again.
    """
    stop = threading.Event()

    def work() -> None:
        said = ""
        while not stop.wait(seconds):
            trouble = _trouble(system.follow, *more)
            if trouble not in ("", said):
                say(trouble)
            said = trouble

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _trouble(*works: Callable[[], None]) -> str:
    try:
        for work in works:
            work()
    except _TROUBLES as error:
        return f"the machines do not follow EC2: {error}"
    return ""
