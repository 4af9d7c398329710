#!/bin/sh
# usage: guard FOLDER COMMAND...
#
# Runs a command that makes something in FOLDER, as root. Standard input must be a pipe from the
# program that started this one. When that program exits, for whatever reason, or a signal arrives,
# the command is killed and FOLDER removed. Until then the folder above FOLDER is locked.
set -u
folder=$1
shift
exec 3<&0 </dev/null 4<"${folder%/*}"
if ! flock --nonblock 4; then
    echo "  wait     for an interrupted run, which is removing $folder"
    flock 4
fi

# In namespaces of its own, a command dies together with all it started, and its mounts vanish.
apart='unshare --mount --pid --fork --kill-child --mount-proc'
signal=KILL
if ! $apart true 2>/dev/null; then
    apart=
    signal=TERM
fi

child=
give_up() {
    trap '' INT TERM HUP
    child=${child:-${!:-}}
    if [ -n "$child" ]; then
        kill -s "$signal" "$child"
        wait "$child" 2>/dev/null
    fi
    # Processes that are still exiting can make the first attempts fail.
    for _ in 1 2 3 4 5 6 7 8 9; do
        rm -rf --one-file-system "$folder" 2>/dev/null && exit 1
        sleep 1
    done
    rm -rf --one-file-system "$folder"
    exit 1
}
trap give_up INT TERM HUP

$apart "$@" 3<&- 4<&- &
child=$!
# Nothing is ever written to the pipe: `read` returns when the other side is closed.
(
    read -r _ <&3
    kill -s TERM $$
) 4<&- &
watcher=$!
wait "$child"
status=$?
trap '' INT TERM HUP
kill "$watcher"
exit "$status"
