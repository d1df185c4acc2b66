"""Trains image classifiers and publishes them as versions that the service can serve."""
