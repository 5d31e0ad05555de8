"""Problems reported from practice (scenario 000.2)."""
import re

import lab

SET = f"""
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: db
spec:
  serviceName: db
  selector: {{matchLabels: {{app: db}}}}
  template:
    metadata: {{labels: {{app: db}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: c
        image: {lab.WEB}
        volumeMounts: [{{name: data, mountPath: /data}}]
  volumeClaimTemplates:
  - metadata: {{name: data}}
    spec:
      accessModes: [ReadWriteOnce]
      resources: {{requests: {{storage: 16Mi}}}}
"""


def test_000_2_a_claim_that_was_there_before_is_announced(kubectl):
    kubectl.apply(SET)
    kubectl.wait_ready("db-0")
    kubectl.exec("db-0", "echo corrupt > /data/state; sync")
    first, claim = kubectl.get("statefulsets", "db")["metadata"]["uid"], kubectl.get("persistentvolumeclaims", "data-db-0")
    # A replica that is recreated and uses its own claim again is not reported.
    kubectl.k("delete", "pod", "db-0")
    kubectl.wait_ready("db-0")
    assert "ReusedClaim" not in [reason for reason, _ in kubectl.events("Pod", "db-0")]

    kubectl.k("delete", "statefulset", "db")
    kubectl.wait_gone("pods", "db-0")
    assert [row[:2] for row in lab.columns(kubectl.out("get", "pvc"))[1:]] == [["data-db-0", "Bound"]]
    kubectl.apply(SET.replace("name: db\nspec", "name: db\n  labels: {release: second}\nspec"))
    kubectl.wait_ready("db-0")
    made = claim["metadata"]["creationTimestamp"]
    said = kubectl.wait_event("Pod", "db-0", "ReusedClaim")
    assert re.fullmatch(rf'claim "data-db-0" is reused with the data on it: created {made} \(\S+ ago\), '
                        rf'last used by pod db-0 of StatefulSet db \(uid {first}\)', said), said
    assert re.search(r'ReusedClaim +\S+ .*claim "data-db-0" is reused', kubectl.out("describe", "pod", "db-0"))
    now = kubectl.get("persistentvolumeclaims", "data-db-0")
    assert (now["metadata"]["uid"], now["spec"]["volumeName"]) == (claim["metadata"]["uid"], claim["spec"]["volumeName"])
    assert kubectl.exec("db-0", "cat /data/state") == "corrupt\n"

    # Without an existing claim nothing is reported.
    kubectl.k("delete", "statefulset", "db")
    kubectl.wait_gone("pods", "db-0")
    kubectl.k("delete", "pvc", "data-db-0")
    kubectl.apply(SET)
    kubectl.wait_ready("db-0")
    third = kubectl.pod("db-0")["metadata"]["uid"]
    assert all(e["reason"] != "ReusedClaim" for e in kubectl.list("events")["items"] if e["involvedObject"].get("uid") == third)
    assert kubectl.exec("db-0", "ls /data") == "lost+found\n"
