"""Where the weights of a network began, as manifest, report, MLflow and release say it. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Provenance:
    """Where the weights began, as manifest, report and release say it; nothing but a name where they were drawn.

    Attributes:
        note: on the data behind them.
        taken: how many of the graph's weights came from there, of `weights`.
    """

    name: str = "none"
    source: str = ""
    license: str = ""
    note: str = ""
    sha256: str = ""
    taken: int = 0
    weights: int = 0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def facts(self) -> dict[str, str]:
        """What goes with the weights wherever they go: words alone; nothing where they began with random numbers."""
        words = {name: value for name, value in self.to_json().items() if isinstance(value, str) and value}
        return words if self.sha256 else {}

    @property
    def share(self) -> float:
        """In [0, 1]: of the weights, those that came from there."""
        return self.taken / self.weights if self.weights else 0.0

    @property
    def summary(self) -> str:
        """Name, license, share and the start of the digest."""
        if not self.sha256:
            return "random numbers"
        license_ = f" ({self.license}), {self.share:.0%} of its weights" if self.taken else ""
        return f"{self.name}{license_}, sha256 {self.sha256[:12]}…"

    @property
    def sentence(self) -> str:
        """What a person reads. Law: `Provenance(**p.to_json()) == p`."""
        return f"{self.summary}; {self.note}" if self.note else self.summary
