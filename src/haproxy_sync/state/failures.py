"""Errors as what the state keeps of them: who refused what, and in which words."""

from botocore.exceptions import ClientError

from haproxy_sync.aws import error_code
from haproxy_sync.state.model import Failure, UnixSeconds

# AWS's own are shorter; what templates or hosts put into one need not be.
MESSAGE_LENGTH = 500
REFRESH_SECONDS = 300  # the same failure again is no news before that


def failure(error: Exception, now: UnixSeconds, before: Failure | None) -> Failure:
    """The failure that an error is; `before`: the one without a success since, whose beginning it keeps."""
    since = before.since if before else now
    operation, code, message = _words(error)
    return Failure(operation, code, message[:MESSAGE_LENGTH], since, now)


def _words(error: Exception) -> tuple[str, str, str]:
    """Operation, code and message, of an error that is not a service's what Python says."""
    if not isinstance(error, ClientError):
        return "", type(error).__name__, str(error)
    message = error.response["Error"].get("Message", "")
    return error.operation_name, error_code(error), str(message)


def is_news(failure_: Failure, before: Failure | None) -> bool:
    """Whether it is worth a put of its own: it began, became another one, or was written down some time ago.

    Where a put is what failed, another one would only trouble the bucket more.
    """
    if failure_.operation == "PutObject":
        return False
    if before is None:
        return True
    is_other = (failure_.operation, failure_.code) != (before.operation, before.code)
    return is_other or failure_.at >= before.at + REFRESH_SECONDS
