#!/usr/bin/env bash
# conmon 2.1.6 (Debian 12, conmon 2.1.6+ds1-1): the counter behind --log-size-max is not set back when the log is reopened by the control
# pipe ("2 0 0", what an engine sends after it has renamed the log away). Who rotates that way below the limit loses log lines all the
# same: the counter goes on from the file before, reaches the limit early, and conmon starts the new file over, though it is short.
#
# Here: a limit of 1,000,000 bytes; a container writes 400,000 (580,000 with what the format adds), the log is renamed and reopened, and it
# writes as much again. No file comes near the limit, and a part of the second is missing.
# No container engine and no OCI runtime is needed: a script stands in for the runtime and only starts the writer.
. "$(dirname "$0")/common.sh"
version=2.1.6+ds1-1
debian "conmon=$version"
monitor=
clean_up() {
  touch stop
  if [ -n "$monitor" ]; then kill "$monitor" 2>/dev/null || true; fi
}

mkdir -p bundle exits persist sockets
# Writes numbered lines of 100 bytes, the second half of them when the file `go` is there.
cat >writer <<'W'
#!/bin/sh
awk 'BEGIN { for (i = 1; i <= 4000; i++) printf "%099d\n", i }'
while [ ! -e go ]; do sleep 0.05; done
awk 'BEGIN { for (i = 4001; i <= 8000; i++) printf "%099d\n", i }'
touch written
while [ ! -e stop ]; do sleep 0.05; done
W
cat >runtime <<R
#!/bin/sh
case "\$*" in
  *create*) cd "$work"; ./writer & echo \$! >"$work/pid" ;;
esac
R
chmod +x writer runtime

# The bytes that the container wrote, as far as a log has them: what follows time, stream and tag, and the newline of whole lines.
text_bytes() { awk '{ n += length($0) - length($1 " " $2 " " $3 " ") + ($3 == "F") } END { print n + 0 }' "$1" 2>/dev/null || echo 0; }
wait_until() {
  local tries=0
  until "$@"; do
    tries=$((tries + 1))
    [ $tries -lt 200 ] || { echo "timed out: $*"; exit 2; }
    read -rt 0.05 <> <(:) || true
  done
}
has_first() { [ "$(text_bytes log)" -ge 400000 ]; }

root/usr/bin/conmon --api-version 1 -c one -u one -n one -r "$work/runtime" -b "$work/bundle" -p "$work/pid" --exit-dir "$work/exits" \
  --socket-dir-path "$work/sockets" --persist-dir "$work/persist" -l "k8s-file:$work/log" --log-size-max 1000000 --no-sync-log \
  --conmon-pidfile "$work/conmon.pid" </dev/null >/dev/null 2>conmon.err || { cat conmon.err; exit 2; }
monitor=$(cat conmon.pid)
wait_until has_first
first=$(text_bytes log)
mv log log.1
# Opened by conmon for reading and writing, so this does not block.
echo "2 0 0" >bundle/ctl
wait_until test -e log
touch go
wait_until test -e written
wait_until sh -c 'tail -n 1 log | grep -q 8000$'
second=$(text_bytes log)
part=$([ "$second" -lt 400000 ] && echo "a part of" || echo "all of")
echo "limit 1000000: the renamed log has $first of 400000 bytes, the new one $part its 400000" >seen
described <<'D'
limit 1000000: the renamed log has 400000 of 400000 bytes, the new one a part of its 400000
D
