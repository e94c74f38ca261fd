#!/bin/sh
# A device's life: given its identity, it detects on its feed and pulls its releases beside that, until it is told to end.
#
#   DEVICE_HOME      its folder: identity, trust, slots, outbox
#   DEVICE_TOKEN     a file: what `edgewright fleet invite` printed; with it the device joins its fleet, once
#   DEVICE_ID, DEVICE_SERVER, DEVICE_ROOT, DEVICE_CHANNEL    of one that belongs to no fleet, given once: also where there
#                    is no such file. A device that has joined is not changed by any of them.
#   DEVICE_TIER                auto: it measures which of a release's bundles suits it (default: full)
#   DEVICE_FEED, DEVICE_OUT    where pictures come from (a folder, a video, rtsp://…, camera:0) and detections go
#   DEVICE_TO, DEVICE_PAGE     outputs beside that (- or addresses, with blanks between them), and the port of a live page
#   DEVICE_MQTT                the broker by which it tells its fleet, mqtts://… or @FILE that holds it: so at each start
#   DEVICE_EVERY_S             seconds between updates, a tenth more or less: many devices do not ask at once
#
# A server that is away, a release that is refused and an empty feed are said and tried again: what runs keeps running.
# A detector that takes its process down is begun again: that is a start, of which a release on trial has three.
# Power may go at any moment: the agent is atomic, and this script keeps nothing.
set -u

home=${DEVICE_HOME:?}
feed=${DEVICE_FEED:-$home/feed}
out=${DEVICE_OUT:-$home/out}
child=

end() {
    [ -z "$child" ] || kill -TERM "$child" 2>/dev/null
    wait
    exit 0
}
trap end TERM INT

# In the background, or the shell would hear a signal only when the command has ended.
step() {
    "$@" &
    child=$!
    wait "$child"
    code=$?
    child=
    return "$code"
}

rest() {
    share=$(shuf -n 1 -i 900-1100)
    step sleep "$(awk -v every="${DEVICE_EVERY_S:-60}" -v share="$share" 'BEGIN { print every * share / 1000 }')"
}

if grep -qs '"collector_url": "https' "$home/device.json"; then
    :
elif [ -n "${DEVICE_TOKEN:-}" ] && { [ -e "$DEVICE_TOKEN" ] || [ -z "${DEVICE_ROOT:-}" ]; }; then
    until step edgewright-device enroll --home "$home" --token "$DEVICE_TOKEN" --device-id "${DEVICE_ID:-}"; do
        [ "$code" = 1 ] || exit "$code" # 1: the collector is away or refuses, and may not tomorrow
        rest
    done
elif [ -n "${DEVICE_ROOT:-}" ]; then
    step edgewright-device init --home "$home" --root "$DEVICE_ROOT" --server "${DEVICE_SERVER:?}" \
        --device-id "${DEVICE_ID:?}" --channel "${DEVICE_CHANNEL:-stable}" \
        --tier "${DEVICE_TIER:-full}" || exit
elif ! [ -e "$home/device.json" ]; then
    edgewright-device status --home "$home" # says what to do
    exit 2
fi
if [ -n "${DEVICE_MQTT:-}" ]; then
    step edgewright-device line --home "$home" --mqtt "$DEVICE_MQTT" || exit
fi
set --
for output in ${DEVICE_TO:-}; do
    set -- "$@" --to "$output"
done
[ -z "${DEVICE_PAGE:-}" ] || set -- "$@" --page "$DEVICE_PAGE"
while :; do
    step edgewright-device watch --home "$home" --feed "$feed" --out "$out" --every "${DEVICE_EVERY_S:-60}" "$@"
    rest
done
