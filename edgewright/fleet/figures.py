"""What a collector counts, for Prometheus.

Decides the figures and their names: a unit at the end where there is one, as Prometheus' own page on naming asks for.
Refuses nothing.

    figures = Figures()
    figures.enrolled.inc()
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from edgewright.fleet.register import Accepted

ANSWERED_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Figures:
    """What a collector counts; a registry of its own, so that two in one process do not meet."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own = self.registry
        self.enrolled = Counter("edgewright_fleet_enrolled", "Devices that were let in", registry=own)
        self.check_ins = Counter("edgewright_fleet_check_ins", "Messages with events that were kept", registry=own)
        self.events = Counter("edgewright_fleet_events", "Events told, those told again among them", registry=own)
        self.frames = Counter("edgewright_fleet_hard_frames", "Hard frames that arrived whole", registry=own)
        self.rewound = Counter("edgewright_fleet_rewound", "Messages with numbers of other events", registry=own)
        self.refused = Counter("edgewright_fleet_refused", "Questions that were refused", ["path"], registry=own)
        self.refused_by_broker = Counter(
            "edgewright_fleet_broker_refused", "Messages by MQTT that were refused", ["why"], registry=own
        )
        self.broker = Gauge("edgewright_fleet_broker_heard", "Whether the MQTT broker is heard", registry=own)
        self.answered = Histogram(
            "edgewright_fleet_check_in_seconds",
            "From a whole message to its answer, the commit included",
            buckets=ANSWERED_S,
            registry=own,
        )
        self.devices = Gauge(
            "edgewright_fleet_devices", "Devices heard within an hour", ["project", "release"], registry=own
        )
        self.drifted = Gauge(
            "edgewright_fleet_drifted_devices", "Of those heard, how many see something else", ["project"], registry=own
        )
        self.silent = Gauge("edgewright_fleet_silent_devices", "Devices not heard for it", ["project"], registry=own)

    def heard(self, accepted: Accepted, *, seconds: float) -> None:
        """A message of a device, by whatever line it came."""
        self.check_ins.inc()
        self.events.inc(len(accepted.acknowledged))
        self.rewound.inc(bool(accepted.conflicts))
        self.answered.observe(seconds)
