"""The settings of the Hanlu that runs on a data folder, for commands that speak to it from another terminal."""

from __future__ import annotations

from hanlu.app.datafolder import DataFolder
from hanlu.app.settings import Settings, load

__all__ = ["settings_of_running"]


def settings_of_running(settings: Settings) -> Settings:
    """Return the settings in force on this data folder: its URLs name the embedded services.

    Without a running one they are `settings` themselves.
    """
    folder = DataFolder(settings.data.folder)
    if folder.owner() is None or not folder.settings_file.is_file():
        return settings
    return load(folder.settings_file, environ={})
