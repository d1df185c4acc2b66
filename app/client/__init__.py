"""The typed client of a Keraserve server, for ordinary code and for event loops.

``sync_client``, ``async_client``
    ``Client`` and ``AsyncClient``: send and wait, and decide nothing.
``calls``
    What each method asks, and how its answer is read.
``images``
    What may be given as an image.
``exchange``, ``retrying``
    From the first request of a call to its result, and when it is sent again. Pure.
``connection``
    Address, key, timeouts.
``errors``
    How a call can fail.

Answers are the records of ``app.schemas``. Neither FastAPI nor an engine is imported.
"""

from app.client.async_client import AsyncClient
from app.client.errors import (
    AnswerTimeoutError,
    ConflictError,
    ConnectionFailedError,
    DeadlineExceededError,
    DrainingError,
    ExecutionFailedError,
    ForbiddenError,
    ImageTooLargeError,
    InternalError,
    InvalidImageError,
    InvalidRequestError,
    KeraserveError,
    LabelNotFoundError,
    MalformedRequestError,
    MethodNotAllowedError,
    ModelNotFoundError,
    NotAnsweredError,
    NotReadyError,
    ProblemError,
    QueueFullError,
    RateLimitedError,
    RequestFaultError,
    RouteNotFoundError,
    SampleNotFoundError,
    SamplesUnavailableError,
    ServiceFaultError,
    StoreNotWrittenError,
    TemporaryError,
    TooManyImagesError,
    UnauthenticatedError,
    UnexpectedAnswerError,
    UnsupportedFormatError,
    UploadTooLargeError,
    VersionNotFoundError,
)
from app.client.images import ImageSource
from app.client.sync_client import Client
from app.schemas.answers import BatchFailure, BatchSuccess, ClassifyResponse

__all__ = [
    "AnswerTimeoutError",
    "AsyncClient",
    "BatchFailure",
    "BatchSuccess",
    "ClassifyResponse",
    "Client",
    "ConflictError",
    "ConnectionFailedError",
    "DeadlineExceededError",
    "DrainingError",
    "ExecutionFailedError",
    "ForbiddenError",
    "ImageSource",
    "ImageTooLargeError",
    "InternalError",
    "InvalidImageError",
    "InvalidRequestError",
    "KeraserveError",
    "LabelNotFoundError",
    "MalformedRequestError",
    "MethodNotAllowedError",
    "ModelNotFoundError",
    "NotAnsweredError",
    "NotReadyError",
    "ProblemError",
    "QueueFullError",
    "RateLimitedError",
    "RequestFaultError",
    "RouteNotFoundError",
    "SampleNotFoundError",
    "SamplesUnavailableError",
    "ServiceFaultError",
    "StoreNotWrittenError",
    "TemporaryError",
    "TooManyImagesError",
    "UnauthenticatedError",
    "UnexpectedAnswerError",
    "UnsupportedFormatError",
    "UploadTooLargeError",
    "VersionNotFoundError",
]
