"""Prefect stages, one a file: open the inputs, call the domain, publish the output, log.

`stage.py`, `router.py` and `tracking.py` are the machinery; no other file here imports Prefect's or MLflow's internals.
No module imports torch or ultralytics when it is imported: a control worker carries neither.
"""
