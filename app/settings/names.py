"""What settings are called where they come from."""

from __future__ import annotations

ENV_PREFIX = "KERASERVE_"
ENV_FILE = ".env"

COMMAND_LINE_KEY = f"{ENV_PREFIX}API_KEY"
COMMAND_LINE_NAMES = (f"{ENV_PREFIX}URL", COMMAND_LINE_KEY)
"""Of the environment, too, but read by commands that talk to a server: where it is, and the key.
No settings of a server, yet no mistakes either, where both share an environment."""


# Where a variable that a script or compose passes on is not set, nothing must not open the server.
NO_FILE = "that names no file; to ask for no keys, leave it unset"
GUARDS = {
    "api_keys_file": NO_FILE,
    "trusted_keys": "that names no key; to ask for no signatures, leave it unset",
}
"""Settings that protect the server, with what is said where one of them is empty."""


class SettingsError(Exception):
    """The settings cannot be used; the message has one line per problem."""
