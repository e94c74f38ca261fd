"""Where the stages run on a Prefect server: `prefect.yaml`, one deployment a stage and pool.

    prefect work-pool create gpu --type process
    prefect --no-prompt deploy --all --prefect-file deployments/prefect.yaml
    prefect worker start --pool gpu

Decides names and pools alone; a deployment's entrypoint is a module (`tasks.label:label.flow`), so a worker needs an
installed edgewright and no path. Today a stage is deployed to be triggered alone. The flows can be started without a
command line too (`tasks/engine/run.py`) and then run in the process that starts them; they are not deployed yet.

>>> from importlib.resources import files
>>> files("deployments").joinpath("prefect.yaml").is_file()
True
"""
