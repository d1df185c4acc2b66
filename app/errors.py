"""Every error the service raises on purpose, grouped by whose fault it is.

The tree, with the HTTP status and problem code that ``app.api.error_handlers`` gives each::

    ServingError
    ├── ClientFaultError
    │   ├── MalformedRequestError      400 malformed_request
    │   ├── UnauthenticatedError       401 unauthenticated
    │   ├── ForbiddenError             403 forbidden
    │   ├── ServableNotFoundError      404 model_not_found / version_not_found / label_not_found
    │   ├── RouteNotServedError        404 not_found
    │   ├── SamplesUnavailableError    404 samples_unavailable
    │   ├── SampleNotFoundError        404 sample_not_found
    │   ├── UploadTooLargeError        413 upload_too_large
    │   ├── ImageTooLargeError         413 image_too_large
    │   ├── TooManyImagesError         413 too_many_images
    │   ├── UnsupportedFormatError     415 unsupported_format
    │   ├── ConflictError              409 conflict
    │   ├── ImageDecodeError           422 invalid_image
    │   └── InvalidRequestError        422 invalid_request
    └── ServerFaultError
        ├── QueueFullError             429 queue_full
        │   ├── TooLateError           (it would be answered after its deadline)
        │   ├── DecodeQueueFullError   (of no version: the whole service is too busy)
        │   └── UploadsFullError       (likewise: uploads take all the memory that they may)
        ├── RateLimitedError           429 rate_limited
        ├── DeadlineExceededError      504 deadline_exceeded
        ├── ServableNotReadyError      503 not_ready
        │   └── OutOfMemoryError       (of the machine, for decoding an image)
        ├── BatcherStoppedError        503 draining
        ├── StoreNotWrittenError       507 store_not_written
        ├── ExecutionError             500 execution_failed
        │   └── OutOfDeviceMemoryError (the batcher halves its batches; 500 for a lone image)
        ├── ArtifactError              (a version on disk that must not be served)
        ├── KeysFileError              (a file of API keys that cannot be used)
        ├── SigningKeyError            (a file of a signing key that cannot be used)
        └── CertificateError           (a certificate or its key that cannot be used)
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an image came before its request failed; what it did not reach is None.

    Attributes:
        decode_s: From bytes to pixels.
        queue_s: In the queue, to its end or until it failed.
        execute_s: With the device, until it failed.
        queue_position: Its place when it came, from 1.
    """

    decode_s: float
    queue_s: float | None = None
    execute_s: float | None = None
    queue_position: int | None = None


class ServingError(Exception):
    """Base of all errors below. ``str(error)`` is safe to show to the caller.

    Attributes:
        progress: How far the image came, where that is known.
    """

    code = "internal"
    progress: Progress | None = None


class ClientFaultError(ServingError):
    """The request cannot succeed as sent; sending it again will not help."""


class MalformedRequestError(ClientFaultError):
    """The request breaks its protocol: broken multipart, contradicting parameters."""

    code = "malformed_request"


class UnauthenticatedError(ClientFaultError):
    """The request needs an API key, and carries none that is in force."""

    code = "unauthenticated"


class ForbiddenError(ClientFaultError):
    """The caller is known, or none can be; this is not allowed to them."""

    code = "forbidden"


class ServableNotFoundError(ClientFaultError):
    """No such model, version or label is known.

    Attributes:
        code: ``model_not_found``, ``version_not_found`` or ``label_not_found``.
    """

    def __init__(self, message: str, *, code: str = "model_not_found") -> None:
        """Keep which of the three parts was not found."""
        super().__init__(message)
        self.code = code


class RouteNotServedError(ClientFaultError):
    """The route is there, and not answered at this port."""

    code = "not_found"


class SamplesUnavailableError(ClientFaultError):
    """The model has no labelled samples, or none that can be used; says how to get them."""

    code = "samples_unavailable"


class SampleNotFoundError(ClientFaultError):
    """No sample has this index; names the valid range."""

    code = "sample_not_found"


class UploadTooLargeError(ClientFaultError):
    """One file, or the body, has more bytes than the limit."""

    code = "upload_too_large"


class ImageTooLargeError(ClientFaultError):
    """More pixels, or more time to decode them, than the limit; nearly always found before."""

    code = "image_too_large"


class TooManyImagesError(ClientFaultError):
    """One request carries more files than the limit."""

    code = "too_many_images"


class UnsupportedFormatError(ClientFaultError):
    """The bytes are no image, or of a format that is not enabled."""

    code = "unsupported_format"


class ImageDecodeError(ClientFaultError):
    """The image is truncated or corrupt."""

    code = "invalid_image"


class InvalidRequestError(ClientFaultError):
    """A part or parameter is missing, empty or out of range."""

    code = "invalid_request"


class ConflictError(ClientFaultError):
    """What is asked for does not go with what is there, e.g. unloading what nothing replaces."""

    code = "conflict"


class ServerFaultError(ServingError):
    """The request is fine; the service cannot answer it now, or failed doing so."""


class QueueFullError(ServerFaultError):
    """There is no room: more waits than ``max_queue_size``, or than the deadline allows.

    Attributes:
        retry_after_s: When room can be expected, from the queue and the measured rate.
    """

    code = "queue_full"

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        """Keep the estimate for the ``Retry-After`` header."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TooLateError(QueueFullError):
    """So much waits that the answer would come after the deadline of the request."""


class DecodeQueueFullError(QueueFullError):
    """Too many images of all versions wait for being decoded."""


class UploadsFullError(QueueFullError):
    """The bodies of all requests under way take more memory than they may."""


class RateLimitedError(ServerFaultError):
    """The caller asks more often, or for more at one time, than each of them may.

    Attributes:
        limit: ``rate`` or ``concurrency``.
        retry_after_s: When the next request is taken, as far as is known.
    """

    code = "rate_limited"

    def __init__(self, message: str, *, limit: str, retry_after_s: float) -> None:
        """Keep the wait for the ``Retry-After`` header."""
        super().__init__(message)
        self.limit = limit
        self.retry_after_s = retry_after_s


class DeadlineExceededError(ServerFaultError):
    """The request's deadline passed before its answer was there."""

    code = "deadline_exceeded"


class ServableNotReadyError(ServerFaultError):
    """The version is known but not AVAILABLE (yet, or any more)."""

    code = "not_ready"


class OutOfMemoryError(ServableNotReadyError):
    """The process has no memory for an image within the limits; the image may be fine."""


class BatcherStoppedError(ServerFaultError):
    """The batcher, or the whole service, is draining and takes nothing new."""

    code = "draining"


class StoreNotWrittenError(ServerFaultError):
    """A label or a plan could not be written: no room, no permission; nothing has changed."""

    code = "store_not_written"


class ExecutionError(ServerFaultError):
    """The network failed on this image, or gave an answer of the wrong shape."""

    code = "execution_failed"


class OutOfDeviceMemoryError(ExecutionError):
    """The device has no memory for a batch of this size; engines raise it in their own place."""


class ArtifactError(ServerFaultError):
    """A version folder is incomplete, altered or of an unknown schema; it is never served."""

    code = "internal"


class KeysFileError(ServerFaultError):
    """The file of API keys cannot be read or written, or does not hold what it must."""

    code = "internal"


class SigningKeyError(ServerFaultError):
    """A file of a key that signs versions, or proves signatures, cannot be used."""

    code = "internal"


class TracingError(ServerFaultError):
    """Traces are asked for, and what makes them is not installed."""

    code = "internal"


class CertificateError(ServerFaultError):
    """The certificate of TLS or its private key cannot be read, or do not go together."""

    code = "internal"
