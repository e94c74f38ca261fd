"""`python -m edgewright.cli`."""

from __future__ import annotations

from edgewright.cli.frame import main

if __name__ == "__main__":
    main()
