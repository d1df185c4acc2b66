"""Names of the files and folders inside ``models/<name>/<version>/``."""

from __future__ import annotations

MANIFEST = "manifest.json"
MODEL = "model.keras"
SAVED_MODEL = "saved_model/saved_model.pb"
"""In the place of ``model.keras`` where the network is a frozen graph."""
OPENVINO_MODEL = "openvino/model.xml"
"""The network once more, for the engine of hosts without a GPU; ``model.bin`` beside it."""
SAMPLES = "samples.npz"
SIGNATURES = "signatures.json"
"""Who vouches for the manifest. It may come after the version was published."""
REPORT = "report"
REPORT_PAGE = "report.html"
