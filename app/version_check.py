"""Whether the service would serve a version folder, found out without a server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from app.artifacts.checksums import verify_files
from app.artifacts.trust import ANYBODY, TrustPolicy
from app.errors import ArtifactError
from app.runtime.loader import load_servable
from app.runtime.policy import EnginePolicy
from app.runtime.preparing import prepare_servable


@dataclass(frozen=True, slots=True)
class VersionCheck:
    """A version that would be served, and how close it came to what training recorded.

    Attributes:
        servable: ``name:version``.
        engine: What executed it.
        precision: Number format of the execution.
        device: Where it ran.
        samples: Images in its self-test.
        top1_agreement: Share of them with the recorded first class, 0..1.
        max_deviation: Largest absolute difference of any probability.
        signed_by: Who vouches for it: names of trusted keys, ids of others.
    """

    servable: str
    engine: str
    precision: str
    device: str
    samples: int
    top1_agreement: float
    max_deviation: float
    signed_by: tuple[str, ...] = ()


def check_version(folder: Path, policy: EnginePolicy, trust: TrustPolicy = ANYBODY) -> VersionCheck:
    """Do what a server does before a version becomes AVAILABLE: compare, load, warm up, test.

    The folder may have any name: a version that is still being published is checked as well.

    Raises:
        ArtifactError: It would not be served; the message says why.
    """
    if not folder.is_dir():
        raise ArtifactError(f"{folder} is no folder")
    manifest = trust.read(folder)
    signed_by = trust.signers(folder)
    verify_files(folder, manifest)
    servable, result = prepare_servable(folder, manifest, policy, load_servable)
    info = servable.info
    servable.close()
    return VersionCheck(
        servable=f"{manifest.name}:{manifest.version}",
        engine=info.engine,
        precision=info.precision,
        device=info.device,
        samples=result.samples,
        top1_agreement=result.top1_agreement,
        max_deviation=result.max_deviation,
        signed_by=signed_by,
    )
