"""A device and its server, as the agent's own tests have them."""

from __future__ import annotations

from tests.edgewright.device.conftest import make_device, server

__all__ = ["make_device", "server"]
