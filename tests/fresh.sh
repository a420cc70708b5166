#!/usr/bin/env bash
# A newcomer's first minutes in strange places: clones below a home of mode 0700, in a path with a space, with an empty
# environment and every usual port taken; as root and as an ordinary user when started by root, else as oneself.
set -euo pipefail

source=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
work=$(mktemp -d)
chmod 711 "$work"
listener=
remains=()

finish() {
    status=$?
    [ -z "$listener" ] || kill "$listener"
    for folder in "${remains[@]}"; do
        pkill -KILL -f -- "$folder" || true
        rm -rf "$folder"
    done
    rm -rf "$work"
    [ "$status" = 0 ] && echo 'Everything as it should be.' || echo "FAILED; the last output: $(cat "$work/last" 2>/dev/null)"
}
trap finish EXIT

step() { echo "  $*"; }
fail() { echo "  WRONG: $*" >&2; cp -f "$clone/out" "$work/last" 2>/dev/null || true; cat "$clone/out" >&2 || true; exit 1; }

as_newcomer() {
    local -a command=(env -i "PATH=/usr/local/bin:/usr/bin:/bin" "HOME=$home" "DEMO=0" "${settings[@]}" "$@")
    if [ "$account" = "$(id -un)" ]; then "${command[@]}"; else runuser -u "$account" -- "${command[@]}"; fi
}

status() { as_newcomer "$clone/.venv/bin/email-campaign" status --json; }
value() { python3 -c "import json,sys; print(json.load(sys.stdin)$1)"; }
alive() { pgrep -f -- "$clone/|$data_dir" | grep -vx "$$" || true; }

start() { # in the background, in a session of its own like a terminal's
    as_newcomer setsid make --no-print-directory -C "$clone" run >"$clone/out" 2>&1 &
    for _ in $(seq 240); do
        if [ -x "$clone/.venv/bin/email-campaign" ] && status >"$work/status" 2>/dev/null; then
            supervisor=$(value '["pid"]' <"$work/status")
            data_dir=$(value '["data_dir"]' <"$work/status")
            return
        fi
        kill -0 $! 2>/dev/null || fail 'make run ended while it was starting'
        sleep 0.5
    done
    fail 'make run did not come up within two minutes'
}

gone_within() {
    local began=$SECONDS
    while [ -n "$(alive)" ]; do
        [ $((SECONDS - began)) -le "$1" ] || fail "still there after $1 s: $(ps -o pid,args -p "$(alive | paste -sd,)")"
        sleep 0.2
    done
}

try() {
    account=$1 settings=() home="$work/$1's home" clone="$work/$1's home/a clone"
    echo "As $account:"
    mkdir -m 700 "$home"
    git clone -q "$source" "$clone"
    chown -R "$account" "$home"

    step 'comes up beside taken ports'
    start
    [ "$account" != root ] || remains+=("$data_dir")
    for port in 8000 8025 1025 5432 6379; do
        ! value '["ports"].values()' <"$work/status" | grep -qw "$port" || fail "port $port was taken, and yet used"
    done
    grep -q 'Port 8000 is taken' "$clone/out" || fail 'the moved port was not said'
    grep -q 'with the password' "$clone/out" || fail 'the administrator was not shown'
    [ "$(value '["healthy"]' <"$work/status")" = True ] || fail "not healthy: $(cat "$work/status")"

    step 'says where it runs when started twice'
    ! as_newcomer make --no-print-directory -C "$clone" run >"$work/second" 2>&1 || fail 'a second run was not refused'
    grep -q "It runs already (process $supervisor)" "$work/second" || fail "second run: $(cat "$work/second")"

    step 'stops within 10 s'
    kill -TERM "$supervisor"
    gone_within 10

    step 'goes on with its data, and leaves nothing behind a kill -9'
    start
    ! grep -q 'with the password' "$clone/out" || fail 'a second administrator was made'
    kill -KILL "$supervisor"
    gone_within 10

    step 'leaves nothing behind a closed terminal'
    start
    kill -HUP "$supervisor"
    gone_within 10

    step 'names a taken port that was set by hand, before anything starts'
    settings=(WEB_PORT=8000)
    ! as_newcomer make --no-print-directory -C "$clone" run >"$work/taken" 2>&1 || fail 'a taken port was not refused'
    grep -q 'WEB_PORT=8000 .*is taken' "$work/taken" || fail "taken port: $(cat "$work/taken")"
    gone_within 0
}

python3 - <<'EOF' &
import signal, socket
listeners = []
for port in (8000, 8025, 1025, 5432, 6379):
    try:
        listeners.append(socket.create_server(("127.0.0.1", port)))
    except OSError:
        pass  # somebody else has it: taken all the same
signal.pause()
EOF
listener=$!

if [ "$(id -u)" = 0 ]; then
    try root
    try nobody
else
    try "$(id -un)"
fi
