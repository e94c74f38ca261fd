"""Where a command works: the home's settings and its store. Part of the outermost layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewright.settings import Settings, configure_libraries, read_settings

if TYPE_CHECKING:
    from edgewright.artifacts import Store


def home_settings() -> Settings:
    """The environment, read once a command; the libraries are told before they are imported."""
    settings = read_settings()
    configure_libraries(settings)
    return settings


def recording_settings() -> Settings:
    """The same for a command that records: the servers that the environment names have answered.

    Asked here, before Prefect and MLflow are imported, which takes longer than to be told that one is away.
    """
    from tasks.engine.services import require_services

    settings = home_settings()
    require_services(settings)
    return settings


def home_store(settings: Settings) -> Store:
    """The store, opened; imported here, because a device has none."""
    from edgewright.artifacts import open_store

    return open_store(settings.store, scratch=settings.scratch / "s3")
