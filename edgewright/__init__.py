"""edgewright: from a few labeled photographs to a signed INT8 detector under 2 MB on an edge device.

The rooms of this package decide; they never import Prefect or MLflow, read no environment and print nothing.
`tasks` opens and publishes artifacts around them, `flows` puts the tasks in order, `deployments` names the hardware.

    import edgewright as ew

    run = ew.run("laptop", source="photos/")

A device imports this package for its version: the Python face, `edgewright.api`, is imported when it is first used.
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from edgewright.api import Run as Run
    from edgewright.api import inspect as inspect
    from edgewright.api import run as run
else:
    _FACE = ("Run", "inspect", "run")

    def __getattr__(name):  # noqa: ANN001, ANN202 - nobody reads them here: types come from the imports above
        if name not in _FACE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module("edgewright.api"), name)

    def __dir__():  # noqa: ANN202
        return sorted({*globals(), *_FACE})
