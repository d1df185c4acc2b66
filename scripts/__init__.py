"""What the Makefile runs besides the project itself. Nothing here is installed.

``bootstrap``, ``interpreters`` and ``environment`` make ``.venv`` and run on the system's own
Python, back to 3.8; ``lock.sh`` compiles the lock files; ``vendor_api_docs`` refreshes the pages
under ``app/web/docs``.
"""
