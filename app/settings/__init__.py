"""Every setting of the service.

``names``
    What settings are called where they come from.
``doors``
    Of them, those of ports, TLS, proxies and limits.
``trust``
    Those of signatures and of the flight recorder; part of ``Settings``.
``settings``
    Each other setting with its default, unit and effect, the checks across them, their policies.
``faults``
    Those about engines that fail and clients that are slow; part of ``Settings``.
``source``
    From environment, ``.env`` and flags to settings, or to what is wrong.
"""

from app.settings.names import COMMAND_LINE_KEY, COMMAND_LINE_NAMES, ENV_PREFIX, SettingsError
from app.settings.settings import Settings, powers_of_two
from app.settings.source import load_settings

__all__ = [
    "COMMAND_LINE_KEY",
    "COMMAND_LINE_NAMES",
    "ENV_PREFIX",
    "Settings",
    "SettingsError",
    "load_settings",
    "powers_of_two",
]
