"""Replicas created in parallel (scenario 004.8)."""
import lab
from lab import wait_for

SET = f"""
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: web-app
spec:
  replicas: 2
  podManagementPolicy: Parallel
  serviceName: web-app
  selector: {{matchLabels: {{app: web-app}}}}
  template:
    metadata: {{labels: {{app: web-app}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web-app
        image: {lab.WEB}
        readinessProbe: {{httpGet: {{path: /, port: 80}}, periodSeconds: 1, timeoutSeconds: 30}}
        volumeMounts: [{{name: data, mountPath: /var/www/html}}]
  volumeClaimTemplates:
  - metadata: {{name: data}}
    spec:
      accessModes: [ReadWriteOnce]
      resources: {{requests: {{storage: 16Mi}}}}
"""

MEMBERS = ["web-app-0", "web-app-1"]


def test_004_8_parallel_members_have_one_age(kubectl):
    with kubectl.watch() as watch:
        kubectl.apply(SET)
        kubectl.wait_ready(*MEMBERS)
        wait_for("the watch to see it", lambda: [watch.ready(m) for m in MEMBERS])
        assert max(watch.created(m) for m in MEMBERS) < min(watch.ready(m) for m in MEMBERS), "neither waited for the other"
        # Both are deleted at once too.
        kubectl.k("scale", "sts", "web-app", "--replicas=0")
        wait_for("their end", lambda: [watch.deleted(m) for m in MEMBERS])
        assert max(watch.terminating(m) for m in MEMBERS) < min(watch.deleted(m) for m in MEMBERS)
