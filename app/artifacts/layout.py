"""Names of the files and folders inside ``models/<name>/<version>/``."""

from __future__ import annotations

MANIFEST = "manifest.json"
MODEL = "model.keras"
SAMPLES = "samples.npz"
REPORT = "report"
