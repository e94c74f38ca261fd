#!/bin/sh
# Brings the work pools and every deployment to the Prefect server that PREFECT_API_URL names. Again changes nothing.
#
#   deploy-stages [TYPE]      # of the pools: process (default), or kubernetes where they were made with a template
set -eu

pools='control cpu gpu fpga edge'
file=$(python -c 'from importlib.resources import files; print(files("deployments") / "prefect.yaml")')
for pool in $pools; do
    prefect work-pool inspect "$pool" >/dev/null 2>&1 || prefect work-pool create "$pool" --type "${1:-process}"
done
exec prefect --no-prompt deploy --all --prefect-file "$file"
