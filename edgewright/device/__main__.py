"""`python -m edgewright.device` is `edgewright-device`."""

from __future__ import annotations

import sys

from edgewright.device.cli import main

sys.exit(main())
