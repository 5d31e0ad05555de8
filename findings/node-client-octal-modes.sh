#!/usr/bin/env bash
# The official JavaScript client @kubernetes/client-node 1.4.0, loadYaml(): file modes of manifests become other modes.
#
# Kubernetes API reference, SecretVolumeSource (and the page "Secrets", whose examples have it): defaultMode is an octal value between 0000 and
# 0777 or a decimal one between 0 and 511; YAML accepts both. The client reads manifests by the rules of YAML 1.2 (js-yaml), where 0400 is the
# decimal number 400. As a mode that is 0620: instead of only the owner reading the secret, its owner may write and its group may, too.
# Most modes of interest (0600, 0644, 0755) become numbers above 511, which the API server refuses; 0400, 0440 and 0444 pass unnoticed.
# kubectl 1.20.2 (Debian 12) reads the same file as the reference says.
. "$(dirname "$0")/common.sh"
debian kubernetes-client=1.20.5+really1.20.2-1.1+deb12u1
npm_packages @kubernetes/client-node@1.4.0 js-yaml@4.3.2
cat >pod.yaml <<'Y'
apiVersion: v1
kind: Pod
metadata: {name: a}
spec:
  containers: [{name: c, image: busybox}]
  volumes:
  - {name: s, secret: {secretName: s, defaultMode: 0400}}
  - {name: g, secret: {secretName: s, defaultMode: 0440}}
  - {name: new, secret: {secretName: s, defaultMode: 0o400}}
Y
cat >load.js <<'J'
import { readFileSync } from 'node:fs';
import { loadYaml } from '@kubernetes/client-node';
console.log(loadYaml(readFileSync('pod.yaml', 'utf8')).spec.volumes.map((v) => '0' + v.secret.defaultMode.toString(8)).join(' '));
J
{
  echo "written: 0400 0440 0o400"
  echo "client-node: $(node load.js)"
  echo "kubectl: $(root/usr/bin/kubectl label --local -f pod.yaml a=b -o json | grep -o '"defaultMode": [0-9]*' | grep -o '[0-9]*' |
    xargs printf '0%o ' | sed 's/ $//')"
} >seen
described <<'D'
written: 0400 0440 0o400
client-node: 0620 0670 0400
kubectl: 0400 0440 0400
D
