"""``python -m app`` is ``keraserve``."""

import sys

from app.cli import main

sys.exit(main())
