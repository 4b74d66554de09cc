"""The service's errors; moto serialises them in the query protocol, with the status of the API's model."""

from local.run_command.errors import ApiError

__all__ = ["ApiError", "NotPlayed", "group_not_found", "validation_error"]


class NotPlayed(ApiError):
    """The one refusal that is not AWS's: the service would take it, but the application does not use it.

    The code is the one that moto can serialise; the message tells it apart.
    """

    def __init__(self, what: str) -> None:
        super().__init__("ValidationError", f"not played: {what}")


def validation_error(message: str) -> ApiError:
    """What Auto Scaling answers to whatever is wrong with a request; callers can tell cases by the text alone."""
    return ApiError("ValidationError", message)


def group_not_found(name: str) -> ApiError:
    """There is no such group."""
    return validation_error(
        f"AutoScalingGroup name not found - AutoScalingGroup '{name}' not found"
    )
