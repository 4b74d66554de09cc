"""Waiting for what can be seen, and never for longer than said."""

import time
from collections.abc import Callable

_POLL_SECONDS = 0.01


def wait_until[T](
    condition: Callable[[], T],
    seconds: float = 30,
    *,
    what: Callable[[], object] | str = "",
    pause_seconds: float = _POLL_SECONDS,
) -> T:
    """Ask until the answer is true, and give it. Raises TimeoutError, which says `what` did not come.

    The default is for busy machines: it is a limit, not a guess. Whoever asks what is costly asks less often.
    """
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"not within {seconds} s: {(what() if callable(what) else what) or answer!r}"
            )
        time.sleep(pause_seconds)
    return answer
