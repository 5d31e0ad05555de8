#!/usr/bin/env bash
# The official Python client 22.6.0 (Debian 12, 22.6.0-2): one object with a field that is null makes a whole list unreadable.
#
# An API server sends "endpoints": null for the EndpointSlice of a Service that has no pods, and "eventTime": null in events.k8s.io/v1 for each
# event that was made through core/v1 (as most controllers and the kubelet do). The API conventions (Optional vs. Required; Lists) have clients
# take null and nothing for the same as an empty list. This one checks what it receives against the lists of required fields, takes null for
# missing, and raises ValueError from the list call, so no item of the list can be had. Its option client_side_validation, set to False,
# does not reach these checks either. (Kubernetes 1.36 describes endpoints as optional.)
. "$(dirname "$0")/common.sh"
python_client
cat >lists.py <<'P'
import json
from answering import answering
from kubernetes import client

SLICE = {"metadata": {"name": "web-1"}, "addressType": "IPv4", "ports": None}
EVENT = {"metadata": {"name": "web.1"}, "reason": "Pulled", "note": "n", "type": "Normal", "deprecatedCount": 1}
ITEMS = {
    "endpointslices": [dict(SLICE, endpoints=[]), dict(SLICE, endpoints=None)],
    "events": [dict(EVENT, eventTime="2026-01-01T00:00:00.000001Z"), dict(EVENT, eventTime=None)],
}

# The namespace tells the server how many items to send: the second of each has the null.
def answer(path):
    _, _, group, version, _, namespace, what = path.split("/")
    return "application/json", json.dumps({"apiVersion": group + "/" + version, "kind": "List", "metadata": {"resourceVersion": "1"},
                                           "items": ITEMS[what][:int(namespace)]})

one = answering(answer)  # with client_side_validation False
for call in (client.DiscoveryV1Api(one).list_namespaced_endpoint_slice, client.EventsV1Api(one).list_namespaced_event):
    for namespace in ("1", "2"):
        try:
            print(call.__name__, len(call(namespace).items), "read")
        except ValueError as error:
            print(call.__name__, "ValueError:", error)
P
/usr/bin/python3 lists.py >seen
described <<'D'
list_namespaced_endpoint_slice 1 read
list_namespaced_endpoint_slice ValueError: Invalid value for `endpoints`, must not be `None`
list_namespaced_event 1 read
list_namespaced_event ValueError: Invalid value for `event_time`, must not be `None`
D
