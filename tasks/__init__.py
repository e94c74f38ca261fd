"""Prefect stages, one a file: open the inputs, call the domain, publish the output, log.

`engine` makes a function a stage and a flow a run, `serve` holds servers; nothing else stands here. No module imports
torch or ultralytics when it is imported: a control worker carries neither.
"""
