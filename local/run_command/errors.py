"""The service's errors, serialised by moto with the code and HTTP status of the real API's model."""

from moto.core.exceptions import ServiceException


class ApiError(ServiceException):
    """An error a boto3 client sees as `ClientError` with this code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)


def validation_error(message: str) -> ApiError:
    """What every AWS JSON service answers before it looks at the meaning of a request."""
    return ApiError("ValidationException", message)
