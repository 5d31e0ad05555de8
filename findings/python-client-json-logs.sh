#!/usr/bin/env bash
# The official Python client 22.6.0 (Debian 12, 22.6.0-2), read_namespaced_pod_log(): the log of a container that wrote JSON comes back changed.
#
# The API answers a pod's log as text/plain, and the client documents the result as a str. When the whole log happens to parse as JSON (a
# container that wrote one JSON line, a number, a word such as null), the client parses it, whatever the content type, and makes a str of the
# Python object: other quotes, True for true, None for null, "1e3" as "1000.0", the final newline gone. Two lines come back as they are, so it
# depends on how much the container had written.
. "$(dirname "$0")/common.sh"
python_client
cat >logs.py <<'P'
from answering import answering
from kubernetes import client

LOGS = ['{"ready": true, "node": null}\n', '1e3\n', '00123\n', '{"ready": true}\n{"ready": true}\n']

api = client.CoreV1Api(answering(lambda path: ("text/plain", LOGS[int(path.split("/")[-2])])))
for number, log in enumerate(LOGS):
    print(repr(log), "comes back as", repr(api.read_namespaced_pod_log(str(number), "default")))
P
/usr/bin/python3 logs.py >seen
described <<'D'
'{"ready": true, "node": null}\n' comes back as "{'ready': True, 'node': None}"
'1e3\n' comes back as '1000.0'
'00123\n' comes back as '00123\n'
'{"ready": true}\n{"ready": true}\n' comes back as '{"ready": true}\n{"ready": true}\n'
D
