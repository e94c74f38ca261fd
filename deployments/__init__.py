"""What stands on a Prefect server: `prefect.yaml`, a deployment a preset and each stage on each of its pools.

    edgewright up                               # brings it there, with pools and workers; or, for a server of your own:
    python -m tasks.serve.deploying gpu=1

Decides names, pools and schedules (`entries.py`); an entrypoint is a module (`tasks.label:label.flow`), so a worker
needs an installed edgewright and no path.

>>> from importlib.resources import files
>>> files("deployments").joinpath("prefect.yaml").is_file()
True
"""
