#!/bin/sh
# Starts a program with its secrets in its environment: each file in /run/secrets is a variable of that name.
#
#   with-secrets prefect server start     # /run/secrets/PREFECT_SERVER_DATABASE_PASSWORD => that variable
#
# Compose, Kubernetes and Podman all lay secrets there. Refuses to start where one is empty or cannot be read: a server
# without its password would be open. Files whose names are no variables are another program's.
set -eu

for file in "${SECRETS_FOLDER:-/run/secrets}"/*; do
    name=${file##*/}
    case $name in *[!A-Z0-9_]* | [0-9]*) continue ;; esac
    value=$(cat "$file") || {
        echo "with-secrets: $file cannot be read by uid $(id -u). Next: chmod 0444, in a folder that is closed to others" >&2
        exit 1
    }
    if [ -z "$value" ]; then
        echo "with-secrets: $file is empty. Next: see infra/secrets/README.md" >&2
        exit 1
    fi
    export "$name=$value"
done
exec "$@"
