"""How a call can fail, grouped by what the caller can do about it.

The tree, with the problem code of each::

    KeraserveError
    ├── NotAnsweredError               nobody knows whether the server has done it
    │   ├── ConnectionFailedError      no connection, or it broke
    │   └── AnswerTimeoutError         no answer within timeout_s
    ├── UnexpectedAnswerError          an answer that no Keraserve gives; a proxy, another service?
    └── ProblemError                   the server says what is wrong
        ├── RequestFaultError          sending it again will not help
        │   ├── MalformedRequestError      malformed_request
        │   ├── UnauthenticatedError       unauthenticated
        │   ├── ForbiddenError             forbidden
        │   ├── ModelNotFoundError         model_not_found
        │   ├── VersionNotFoundError       version_not_found
        │   ├── LabelNotFoundError         label_not_found
        │   ├── SampleNotFoundError        sample_not_found
        │   ├── SamplesUnavailableError    samples_unavailable
        │   ├── RouteNotFoundError         not_found
        │   ├── MethodNotAllowedError      method_not_allowed
        │   ├── ConflictError              conflict
        │   ├── UploadTooLargeError        upload_too_large
        │   ├── ImageTooLargeError         image_too_large
        │   ├── TooManyImagesError         too_many_images
        │   ├── UnsupportedFormatError     unsupported_format
        │   ├── InvalidImageError          invalid_image
        │   └── InvalidRequestError        invalid_request
        └── ServiceFaultError          the request is fine
            ├── TemporaryError             later it will do: repeated by the client itself
            │   ├── QueueFullError         queue_full
            │   ├── RateLimitedError       rate_limited
            │   ├── NotReadyError          not_ready
            │   └── DrainingError          draining
            ├── DeadlineExceededError      deadline_exceeded
            ├── ExecutionFailedError       execution_failed
            ├── StoreNotWrittenError       store_not_written
            └── InternalError              internal
"""

from __future__ import annotations

from collections.abc import Iterator


class KeraserveError(Exception):
    """Base of all errors below; the message is for people."""


class NotAnsweredError(KeraserveError):
    """There is no answer."""


class ConnectionFailedError(NotAnsweredError):
    """No connection, or it broke before the answer was complete.

    Attributes:
        may_have_arrived: Whether the server may have got the request.
    """

    def __init__(self, message: str, *, may_have_arrived: bool = True) -> None:
        """Keep whether repeating could do something twice."""
        super().__init__(message)
        self.may_have_arrived = may_have_arrived


class AnswerTimeoutError(NotAnsweredError):
    """``timeout_s`` passed, repetitions included."""


class UnexpectedAnswerError(KeraserveError):
    """An answer that is none of Keraserve's.

    Attributes:
        status: Its HTTP status.
        retry_after_s: As it says; None where it does not say.
    """

    def __init__(self, message: str, *, status: int, retry_after_s: float | None = None) -> None:
        """Keep what it had."""
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s


class ProblemError(KeraserveError):
    """The server answered with a problem document (RFC 9457).

    Attributes:
        code: What machines tell it by.
        status: HTTP status.
        detail: What is wrong, with the value, the limit and its setting.
        request_id: Under which the server's log has it.
        retry_after_s: When the server says that it will do; None where it does not say.
    """

    code = ""

    def __init__(
        self,
        detail: str,
        *,
        status: int,
        code: str,
        request_id: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        """Keep the fields of the document."""
        super().__init__(detail)
        self.detail = detail
        self.status = status
        self.code = code
        self.request_id = request_id
        self.retry_after_s = retry_after_s


class RequestFaultError(ProblemError):
    """The request cannot succeed as sent."""


class MalformedRequestError(RequestFaultError):
    """Parameters contradict each other, or the body breaks its protocol."""

    code = "malformed_request"


class UnauthenticatedError(RequestFaultError):
    """No API key, or one that is not in force."""

    code = "unauthenticated"


class ForbiddenError(RequestFaultError):
    """The key does not allow this."""

    code = "forbidden"


class ModelNotFoundError(RequestFaultError):
    """There is no such model."""

    code = "model_not_found"


class VersionNotFoundError(RequestFaultError):
    """The model has no such version."""

    code = "version_not_found"


class LabelNotFoundError(RequestFaultError):
    """The model has no such label."""

    code = "label_not_found"


class SampleNotFoundError(RequestFaultError):
    """The index is outside of the samples."""

    code = "sample_not_found"


class SamplesUnavailableError(RequestFaultError):
    """The model has no labelled samples; the detail says how to get them."""

    code = "samples_unavailable"


class RouteNotFoundError(RequestFaultError):
    """The server has no such route: another version of it, or a wrong path in the URL."""

    code = "not_found"


class MethodNotAllowedError(RequestFaultError):
    """The route does not take this method."""

    code = "method_not_allowed"


class ConflictError(RequestFaultError):
    """The order does not go with what is there."""

    code = "conflict"


class UploadTooLargeError(RequestFaultError):
    """The file has more bytes than the limit."""

    code = "upload_too_large"


class ImageTooLargeError(RequestFaultError):
    """The image has more pixels, or takes more time to decode, than the limit."""

    code = "image_too_large"


class TooManyImagesError(RequestFaultError):
    """One request carries more images than the limit."""

    code = "too_many_images"


class UnsupportedFormatError(RequestFaultError):
    """Not an image, or of a format that is not enabled."""

    code = "unsupported_format"


class InvalidImageError(RequestFaultError):
    """The image is truncated or corrupt."""

    code = "invalid_image"


class InvalidRequestError(RequestFaultError):
    """A part or a parameter is missing, empty or out of range."""

    code = "invalid_request"


class ServiceFaultError(ProblemError):
    """The request is fine; the service cannot answer it, or not now."""


class TemporaryError(ServiceFaultError):
    """The same request will be answered later; nothing has been done with this one."""


class QueueFullError(TemporaryError):
    """More waits than the limit or the deadline allows."""

    code = "queue_full"


class RateLimitedError(TemporaryError):
    """This caller has asked for more than its share."""

    code = "rate_limited"


class NotReadyError(TemporaryError):
    """The version still loads, or no longer serves."""

    code = "not_ready"


class DrainingError(TemporaryError):
    """The server stops; another one behind the same address takes over."""

    code = "draining"


class DeadlineExceededError(ServiceFaultError):
    """The deadline of the request (``timeout_ms``) passed at the server."""

    code = "deadline_exceeded"


class ExecutionFailedError(ServiceFaultError):
    """The network failed on this image."""

    code = "execution_failed"


class StoreNotWrittenError(ServiceFaultError):
    """The server could not write a label or a plan; nothing has changed."""

    code = "store_not_written"


class InternalError(ServiceFaultError):
    """The server failed; its log has the cause under the request id."""

    code = "internal"


def _leaves(parent: type[ProblemError]) -> Iterator[type[ProblemError]]:
    for child in parent.__subclasses__():
        if child.code:
            yield child
        yield from _leaves(child)


BY_CODE = {leaf.code: leaf for leaf in _leaves(ProblemError)}
"""The class of each problem code."""


def problem_class(code: str, status: int) -> type[ProblemError]:
    """Return the class of a code; of one that is not known yet, its group by the status."""
    group = RequestFaultError if 400 <= status < 500 else ServiceFaultError
    return BY_CODE.get(code, group)
