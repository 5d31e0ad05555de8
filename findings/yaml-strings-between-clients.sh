#!/usr/bin/env bash
# A ConfigMap or annotation written as YAML by one official client is another object to the next: strings come back as numbers.
# Writers: dumpYaml() of @kubernetes/client-node 1.4.0 (with js-yaml 4.3.2) and PyYAML 6.0 (Debian 12), which the Python client's users write
# manifests with. Reader: kubectl 1.20.2 (Debian 12).
#
# The values of a ConfigMap's data are strings (API reference, ConfigMap), and each writer quotes what its own rules would read as a number. Go's
# YAML library reads by a mix of YAML 1.1 and 1.2 that neither has: underscores in numbers (not in js-yaml), exponents without a dot and 0o
# (not in PyYAML). So "12e5", as the short id of a commit may be, is the number 1200000 to kubectl, and an API server refuses it in a ConfigMap.
. "$(dirname "$0")/common.sh"
debian kubernetes-client=1.20.5+really1.20.2-1.1+deb12u1 python3-yaml=6.0-3+b2
npm_packages @kubernetes/client-node@1.4.0 js-yaml@4.3.2
cat >dump.js <<'J'
import { dumpYaml } from '@kubernetes/client-node';
const data = Object.fromEntries(process.argv.slice(2).map((s) => ['k' + s, s]));
process.stdout.write(dumpYaml({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a' }, data }));
J
cat >dump.py <<'P'
import sys, yaml
print(yaml.safe_dump({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k" + s: s for s in sys.argv[1:]}}))
P
read_back() { root/usr/bin/kubectl label --local -f - a=b -o json | grep -o '"k.*' | grep -v '": ".*"' | sed 's/,$//; s/^"k/"/' | paste -sd' '; }
strings=(yes 0644 22:22 12e5 0o17 1_000 0x1_F 1.5)
{
  echo "strings: ${strings[*]}"
  echo "of client-node, kubectl takes for numbers: $(node dump.js "${strings[@]}" | read_back)"
  echo "of PyYAML: $(PYTHONPATH=root/usr/lib/python3/dist-packages /usr/bin/python3 dump.py "${strings[@]}" | read_back)"
} >seen
described <<'D'
strings: yes 0644 22:22 12e5 0o17 1_000 0x1_F 1.5
of client-node, kubectl takes for numbers: "0x1_F": 31 "1_000": 1000
of PyYAML: "0o17": 15 "12e5": 1200000
D
