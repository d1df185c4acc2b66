"""Servers that Keraserve is measured against."""
