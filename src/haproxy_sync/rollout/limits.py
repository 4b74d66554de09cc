"""Numbers of the talk with Run Command that several modules go by."""

# Instance ids that one SendCommand or one question takes, and one page of an answer.
MAX_INSTANCES = 50
# A claim without command id is void then: longer than the function may run.
VOID_SECONDS = 75

RETRY_SECONDS = 30  # doubles with every attempt
MAX_RETRY_SECONDS = 1800
# More would make a number with a thousand digits, and pass the limit anyway.
_MAX_DOUBLINGS = 10


def backoff(attempts: int) -> int:
    """Seconds to wait after so many attempts in a row that brought nothing."""
    doublings = min(max(attempts - 1, 0), _MAX_DOUBLINGS)
    return min(RETRY_SECONDS << doublings, MAX_RETRY_SECONDS)
