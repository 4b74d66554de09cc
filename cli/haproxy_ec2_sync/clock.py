"""The operator's clock, and waiting by it: tests have another one."""

import time


def now() -> float:
    """Unix seconds."""
    return time.time()


def sleep(seconds: float) -> None:
    """Nothing happens meanwhile."""
    time.sleep(seconds)
