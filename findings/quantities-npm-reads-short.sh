#!/usr/bin/env bash
# npm package kubernetes-resource-parser 0.1.0: quantities that an API server hands out are read a million or a billion times wrong, without an
# error.
#
# The page "Resource Management for Pods and Containers", section Memory resource units, gives "128974848, 129e6, 129M, 128974848000m, 123Mi"
# as five ways to ask for about the same memory. An API server keeps the exponent of 129e6 when it makes a quantity canonical (API reference,
# Quantity), and the metrics API tells used processor time in nanocores, as 12345678n.
# The Python client's parse_quantity (22.6.0, Debian 12) reads them all.
. "$(dirname "$0")/common.sh"
debian python3-kubernetes=22.6.0-2
npm_packages kubernetes-resource-parser@0.1.0
cat >read.js <<'J'
import parser from 'kubernetes-resource-parser';
const [what, text] = process.argv.slice(2);
console.log(parser[what + 'Parser'](text));
J
# Only the file of that function: the client as a whole needs more packages.
cat >read.py <<'P'
import runpy, sys
print(format(runpy.run_path("root/usr/lib/python3/dist-packages/kubernetes/utils/quantity.py")["parse_quantity"](sys.argv[1]).normalize(), "f"))
P
for quantity in "memory 128974848" "memory 129M" "memory 123Mi" "memory 129e6" "memory 128974848000m" "memory 1.5Gi" "cpu 250m" "cpu 12345678n"; do
  # shellcheck disable=SC2086
  echo "$quantity: kubernetes-resource-parser $(node read.js $quantity), Python client $(/usr/bin/python3 read.py ${quantity#* })"
done >seen
described <<'D'
memory 128974848: kubernetes-resource-parser 128974848, Python client 128974848
memory 129M: kubernetes-resource-parser 129000000, Python client 129000000
memory 123Mi: kubernetes-resource-parser 128974848, Python client 128974848
memory 129e6: kubernetes-resource-parser 129, Python client 129000000
memory 128974848000m: kubernetes-resource-parser NaN, Python client 128974848
memory 1.5Gi: kubernetes-resource-parser 1, Python client 1610612736
cpu 250m: kubernetes-resource-parser 0.25, Python client 0.25
cpu 12345678n: kubernetes-resource-parser 12345678, Python client 0.012345678
D
