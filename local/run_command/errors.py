"""The service's errors, serialised by moto with the code and HTTP status of the real API's model."""

from moto.core.exceptions import ServiceException


class ApiError(ServiceException):
    """An error a boto3 client sees as `ClientError` with this code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)


class NotPlayed(ApiError):
    """The one refusal that is not AWS's: the service would take it, but the application does not use it.

    The code is one that moto can serialise; the message tells it apart.
    """

    def __init__(self, what: str) -> None:
        super().__init__("UnsupportedOperationException", f"not played: {what}")


def validation_error(message: str) -> ApiError:
    """What every AWS JSON service answers before it looks at the meaning of a request."""
    return ApiError("ValidationException", message)
