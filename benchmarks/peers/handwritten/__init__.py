"""The batching server that one writes by hand with FastAPI and an ``asyncio.Queue``."""
