#!/usr/bin/env bash
# conmon 2.1.6 (Debian 12, 2.1.6+ds1-1): a log path is cut at its first colon. The log lands in another file than the one named, made where it
# was not asked for, and conmon reports success.
#
# conmon(8): -l, --log-path is the path to store all stdout and stderr messages at; engines put a driver before it (k8s-file:PATH). With the
# driver given, everything after its colon should be the path: colons are ordinary in names, for example in folders named after an image
# (name:tag) or a time. Nothing in the manual or the help speaks of them.
# No container engine and no OCI runtime is needed: a script stands in for the runtime.
. "$(dirname "$0")/common.sh"
debian conmon=2.1.6+ds1-1
mkdir -p bundle exits persist sockets logs logs/app:1.2
cat >runtime <<R
#!/bin/sh
case "\$*" in *create*) sh -c 'echo hello; sleep 0.2' & echo \$! >"$work/pid" ;; esac
R
chmod +x runtime
for log in logs/plain.log logs/app:1.2/0.log; do
  rm -f exits/*
  root/usr/bin/conmon --api-version 1 -c one -u one -n one -r "$work/runtime" -b "$work/bundle" -p "$work/pid" --exit-dir "$work/exits" \
    --socket-dir-path "$work/sockets" --persist-dir "$work/persist" -l "k8s-file:$work/$log" \
    </dev/null >/dev/null 2>conmon.err || cat conmon.err
  until [ -e exits/one ]; do sleep 0.05; done
  echo "for $log: $(find logs -type f | sort | paste -sd' ') (lines: $(grep -rh hello logs | wc -l))"
  find logs -type f -delete
done >seen
described <<'D'
for logs/plain.log: logs/plain.log (lines: 1)
for logs/app:1.2/0.log: logs/app (lines: 1)
D
