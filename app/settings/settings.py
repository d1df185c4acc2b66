"""Every setting of the service: name, default, unit, effect, and the checks across them.

Only ``main``, ``lifecycle`` and ``cli`` read this; everything below receives a small frozen
policy, built here, where units are converted once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from app.access.key_ring import KeyRing
from app.batching.policy import BatchPolicy
from app.drift.policy import DriftPolicy
from app.errors import KeysFileError
from app.imaging.decoder import ImagingPolicy
from app.inference.policy import RequestPolicy, ReusePolicy
from app.registry.rollout_plan import CanaryPlan, RolloutPlan, ShadowPlan, parse_shares
from app.registry.version_policy import VersionPolicy, parse_models_setting
from app.runtime.policy import EnginePolicy, parse_devices
from app.settings.doors import DoorSettings
from app.settings.faults import FaultSettings
from app.settings.names import ENV_FILE, ENV_PREFIX, NO_FILE, SettingsError
from app.settings.tracing import TracingSettings
from app.settings.trust import TrustSettings
from app.watching import WatchPolicy

CommaSeparatedInts = Annotated[tuple[int, ...], NoDecode]
CommaSeparatedStrings = Annotated[tuple[str, ...], NoDecode]


class Settings(DoorSettings, FaultSettings, TrustSettings, TracingSettings):
    """Settings of one service process; environment, ``.env`` and flags, in rising order."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_file=ENV_FILE,
        env_ignore_empty=True,
        extra="ignore",  # of .env: names without the prefix belong to others
        frozen=True,
        protected_namespaces=(),
    )

    model_dir: Path = Field(
        Path("models"), description="Store of published versions, <name>/<version>/."
    )
    samples_dir: Path = Field(
        Path("data/samples"),
        description="Labelled samples of models whose versions carry none, <name>.npz, as `make "
        "samples` makes them. Read when somebody asks for them, and again when they change.",
    )
    default_model: str = Field(
        "cifar10", description="Model that answers requests which name none."
    )
    models: str | None = Field(
        None,
        description="What to serve, comma-separated: name, name:version or name:latest(n). "
        "Unset: the latest version of every model in the store.",
    )
    store_watch: Literal["events", "poll", "off"] = Field(
        "events",
        description="How new versions are noticed. events: of the operating system; poll: for "
        "network file systems, which send none; off: what is there at the start is served.",
    )
    store_poll_interval_s: float = Field(
        10,
        gt=0,
        le=86_400,
        description="How often to look at the store, the file of API keys and the certificate, in "
        "any case, s.",
    )
    allow_class_changes: bool = Field(
        False, description="Whether a version may take over from one that has other classes."
    )
    keep_warm_s: float = Field(
        60,
        ge=0,
        le=86_400,
        description="How long the version that answered by default before goes on serving after a "
        "newer one took over, s: going back to it then takes no loading. Both need memory "
        "meanwhile.",
    )
    canary: str | None = Field(
        None,
        description="Requests that name no version and are answered by another one than the "
        "default, as model:target=share, comma-separated: cifar10:latest=0.05. The target is a "
        "version, a label, or latest. What the admin routes set goes before.",
    )
    canary_max_error_rate: float = Field(
        0.05,
        ge=0,
        le=1,
        description="A canary ends where the share of its last 500 requests that failed is by more "
        "than this above that of the default version.",
    )
    canary_max_latency_ratio: float = Field(
        2,
        ge=1,
        description="A canary ends where its p95, queue and execution, is above this multiple of "
        "that of the default version, and more than 20 ms above it.",
    )
    canary_min_requests: int = Field(
        100, ge=1, le=500, description="Requests of a canary before anything is concluded."
    )
    sticky_header: str = Field(
        "X-Sticky-Key",
        pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$",
        description="Header whose value decides which requests a canary gets: the same value "
        "always gets the same version. Without it the request id decides.",
    )
    shadow: str | None = Field(
        None,
        description="Images that another version classifies once more for comparison, written as "
        "CANARY is.",
    )
    engine: Literal["auto", "tensorflow", "openvino", "jax"] = Field(
        "auto",
        description="What executes the network. auto: TensorFlow on a GPU if it sees one, else JAX "
        "if that sees one, else OpenVINO for versions that were exported, else TensorFlow on the "
        "CPU, else JAX there.",
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="Number format of the network. auto: the fastest that passes the self-test: "
        "bfloat16 where the processor has it, on GPUs float16 or bfloat16, else float32.",
    )
    devices: str = Field(
        "auto",
        description="What the tensorflow and jax engines execute on, comma-separated: gpu:0,gpu:1. "
        "Each holds the network, and all take from one queue. auto: every GPU that the engine "
        "sees, else the CPU.",
    )
    xla: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Whether the tensorflow engine compiles with XLA. auto: on GPUs where it is "
        "measured to be faster when a version loads, which then takes longer; on CPUs never.",
    )
    inference_threads: int = Field(
        0,
        ge=0,
        le=1024,
        description="Cores that one execution takes on a CPU; 0: all, as the engine counts them. "
        "Lowered: room for what else runs there, and no waiting for cores that a container may not "
        "use. `keraserve tune` measures it.",
    )
    max_batch_size: int = Field(
        64,
        ge=1,
        le=4096,
        description="Most images in one execution. Raised: more throughput under load on a GPU, "
        "more device memory, longer queue delay. Lowered: the opposite.",
    )
    allowed_batch_sizes: CommaSeparatedInts = Field(
        (),
        description="Sizes the device may see, ascending, the last one max_batch_size; smaller "
        "batches are padded up. Unset: the powers of two up to max_batch_size. More sizes waste "
        "less padding and cost warm-up time.",
    )
    batch_timeout_ms: float = Field(
        0,
        ge=0,
        le=60_000,
        description="Longest the oldest image waits for company on an idle device, ms. "
        "Raised: fuller batches at low load, slower answers.",
    )
    max_queue_size: int = Field(
        1024,
        ge=1,
        description="Images that may wait per version; the next one gets 429. "
        "Raised: longer bursts survive, longer worst wait.",
    )
    request_timeout_ms: float = Field(
        10_000,
        gt=0,
        le=3_600_000,
        description="Deadline of a whole request, ms, and the most that timeout_ms may ask.",
    )
    max_upload_bytes: int = Field(
        20 * 1024 * 1024, ge=1, description="Largest file, bytes; counted while it arrives."
    )
    max_pending_upload_bytes: int = Field(
        1024**3,
        ge=1,
        description="What bodies of all requests together may take, from their first byte to the "
        "answer, bytes; who comes with more gets 429. It bounds the memory of the process.",
    )
    max_image_pixels: int = Field(
        50_000_000, ge=1, description="Largest image, pixels; checked before decoding."
    )
    max_decode_ms: float = Field(
        100,
        gt=0,
        description="Time of one core that decoding an image may take, ms. Checked before decoding "
        "by what its header lets expect; a PNG is stopped as well where it takes longer. Raise it "
        "for large images that are no JPEGs.",
    )
    max_images_per_request: int = Field(
        64, ge=1, description="Most files in one request to /v1/classify/batch."
    )
    coalesce: bool = Field(
        False,
        description="Whether identical images that are under way at one time are executed once, "
        "for all who wait. Off, so that a load test with one image measures the server.",
    )
    cache_bytes: int = Field(
        0,
        ge=0,
        description="What kept results may take, all versions together, bytes; 0: none are kept. "
        "An image whose every pixel, as the network takes it, was seen before by the same version "
        "is answered from it. An entry takes about 500 bytes more than its pixels.",
    )
    shutdown_grace_s: float = Field(
        0,
        ge=0,
        description="After SIGTERM: how long to go on accepting while /readyz says 503, s. "
        "Raise it to what the load balancer needs to notice.",
    )
    shutdown_timeout_s: float = Field(
        30, gt=0, description="After the grace: how long accepted requests may take to finish, s."
    )
    api_keys_file: Path | None = Field(
        None,
        description="File of API keys, made by `keraserve keys create`: with it, requests need a "
        "key with the scope of what they ask. Unset: anybody may classify and read the metrics, "
        "and only requests from this machine itself administrate.",
    )
    drift_window: int = Field(
        1000,
        ge=0,
        le=1_000_000,
        description="Last images of each version that the drift metrics are about; 0: off, else "
        "at least 200, and five for each class for an index over the classes. Raised: smaller "
        "changes show, later.",
    )
    cors_origins: CommaSeparatedStrings = Field(
        (),
        description="Origins whose pages may call the API, comma-separated; * for any. Without API "
        "keys, they may not administrate.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severity that is logged."
    )
    log_format: Literal["text", "json"] | None = Field(
        None, description="One line per event. Unset: text on a terminal, else json."
    )

    @field_validator("allowed_batch_sizes", "cors_origins", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("api_keys_file", mode="before")
    @classmethod
    def _refuse_nothing(cls, value: Any) -> Any:
        if value == "":
            raise ValueError(NO_FILE)
        return value

    @field_validator(
        "log_level", "log_format", "engine", "precision", "xla", "store_watch", mode="before"
    )
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check(self) -> Self:
        # Each policy checks itself; building them here makes a bad setting fail at the start.
        self.version_policies()
        self.engine_policy()
        self.rollout_plans()
        self.drift_policy()
        if self.limits_keys() and self.api_keys_file is None:
            raise ValueError(
                f"there are limits by key ({ENV_PREFIX}KEY_…), and no keys "
                f"({ENV_PREFIX}API_KEYS_FILE)"
            )
        if self.max_images_per_request > self.max_queue_size:
            raise ValueError(
                f"{ENV_PREFIX}MAX_IMAGES_PER_REQUEST is {self.max_images_per_request}, more than "
                f"{ENV_PREFIX}MAX_QUEUE_SIZE, {self.max_queue_size}: such a request never fits"
            )
        if self.max_upload_bytes > self.max_pending_upload_bytes:
            raise ValueError(
                f"{ENV_PREFIX}MAX_UPLOAD_BYTES is {self.max_upload_bytes}, more than "
                f"{ENV_PREFIX}MAX_PENDING_UPLOAD_BYTES, {self.max_pending_upload_bytes}: such a "
                "file never fits"
            )
        return self

    # ---- policies -------------------------------------------------------------------------

    def batch_policy(self) -> BatchPolicy:
        """How batches are formed; ms become s."""
        return BatchPolicy(
            max_batch_size=self.max_batch_size,
            allowed_batch_sizes=self.allowed_batch_sizes or powers_of_two(self.max_batch_size),
            batch_timeout_s=self.batch_timeout_ms / 1000,
            max_queue_size=self.max_queue_size,
            stall_after_s=self.stall_after_s,
        )

    def imaging_policy(self) -> ImagingPolicy:
        """What may be decoded."""
        return ImagingPolicy(self.max_image_pixels, self.max_decode_ms)

    def engine_policy(self) -> EnginePolicy:
        """What executes, and at which batch sizes."""
        return EnginePolicy(
            engine=self.engine,
            precision=self.precision,
            allowed_batch_sizes=self.batch_policy().allowed_batch_sizes,
            threads=self.inference_threads,
            devices=parse_devices(self.devices),
            xla=self.xla,
        )

    def request_policy(self) -> RequestPolicy:
        """What one request may ask; ms become s."""
        return RequestPolicy(
            request_timeout_s=self.request_timeout_ms / 1000,
            max_upload_bytes=self.max_upload_bytes,
            max_images_per_request=self.max_images_per_request,
            sticky_header=self.sticky_header.lower().encode("ascii"),
        )

    def reuse_policy(self) -> ReusePolicy:
        """What is not computed again."""
        return ReusePolicy(coalesces=self.coalesce, cache_bytes=self.cache_bytes)

    def canary_thresholds(self) -> dict[str, Any]:
        """What ends a canary where nobody says otherwise, as fields of a ``CanaryPlan``."""
        return {
            "max_error_rate": self.canary_max_error_rate,
            "max_latency_ratio": self.canary_max_latency_ratio,
            "min_requests": self.canary_min_requests,
        }

    def rollout_plans(self) -> dict[str, RolloutPlan]:
        """Canary and shadow by model, where the store says nothing of them."""
        canaries = parse_shares(self.canary, f"{ENV_PREFIX}CANARY")
        shadows = parse_shares(self.shadow, f"{ENV_PREFIX}SHADOW")
        thresholds = self.canary_thresholds()
        return {
            name: RolloutPlan(
                canary=CanaryPlan(**canaries[name], **thresholds) if name in canaries else None,
                shadow=ShadowPlan(**shadows[name]) if name in shadows else None,
            )
            for name in canaries | shadows
        }

    def watch_policy(self) -> WatchPolicy:
        """How the store is watched."""
        return WatchPolicy(self.store_watch, self.store_poll_interval_s)

    def file_watch_policy(self) -> WatchPolicy:
        """How files that secure the service are watched: whatever is said of the store."""
        return WatchPolicy("events", self.store_poll_interval_s)

    def key_ring(self) -> KeyRing | None:
        """The keys that requests need; None where they need none.

        Raises:
            SettingsError: There is no such file, or it cannot be used.
        """
        if self.api_keys_file is None:
            return None
        try:
            return KeyRing(self.api_keys_file, self.file_watch_policy())
        except KeysFileError as error:
            raise SettingsError(f"{error} ({ENV_PREFIX}API_KEYS_FILE)") from error

    def drift_policy(self) -> DriftPolicy:
        """How much of what was served is remembered."""
        return DriftPolicy(self.drift_window)

    def version_policies(self) -> dict[str, VersionPolicy] | None:
        """Which versions to serve, per model; None for the latest of all."""
        return None if self.models is None else parse_models_setting(self.models)


def powers_of_two(largest: int) -> tuple[int, ...]:
    """Return 1, 2, 4, … and at last ``largest`` itself."""
    sizes = [1 << power for power in range(largest.bit_length()) if 1 << power < largest]
    return (*sizes, largest)
