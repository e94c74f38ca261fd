"""edgewright: from a few labeled photographs to a signed INT8 detector under 2 MB on an edge device.

The rooms of this package decide; they never import Prefect or MLflow, read no environment and print nothing.
`tasks` opens and publishes artifacts around them, `flows` puts the tasks in order, `deployments` names the hardware.
"""

__version__ = "0.1.0"
