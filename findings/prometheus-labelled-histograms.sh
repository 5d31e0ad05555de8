#!/usr/bin/env bash
# npm package parse-prometheus-text-format 1.1.1: of a histogram that has labels, only the last label set's buckets are left, without the labels,
# and its sums and counts are gone. (Every histogram of an API server or a kubelet has labels.)
#
# Prometheus documentation, "Exposition formats", Histograms and summaries: each distinct set of labels besides "le" is a histogram of its own,
# with its _sum and _count. The package says its output is that of prom2json, which keeps each. Python's prometheus_client 0.16.0 (Debian 12)
# reads all samples. Summaries with labels and no quantiles, and histograms without labels, come out right.
. "$(dirname "$0")/common.sh"
debian python3-prometheus-client=0.16.0-0.1 python3-decorator=5.1.1-3
npm_packages parse-prometheus-text-format@1.1.1
cat >metrics <<'M'
# TYPE plain histogram
plain_bucket{le="1"} 1
plain_bucket{le="+Inf"} 2
plain_sum 3
plain_count 2
# TYPE requests histogram
requests_bucket{verb="GET",le="1"} 10
requests_bucket{verb="GET",le="+Inf"} 20
requests_sum{verb="GET"} 30
requests_count{verb="GET"} 20
requests_bucket{verb="PUT",le="1"} 100
requests_bucket{verb="PUT",le="+Inf"} 200
requests_sum{verb="PUT"} 300
requests_count{verb="PUT"} 200
M
cat >read.js <<'J'
import { readFileSync } from 'node:fs';
import parse from 'parse-prometheus-text-format';
const read = typeof parse === 'function' ? parse : parse.default;
for (const { name, metrics } of read(readFileSync('metrics', 'utf8'))) console.log(name, JSON.stringify(metrics));
J
cat >read.py <<'P'
from prometheus_client.parser import text_string_to_metric_families
for family in text_string_to_metric_families(open("metrics").read()):
    print(family.name, "has", len(family.samples), "samples")
P
{
  echo "parse-prometheus-text-format:"
  node read.js
  echo "prometheus_client:"
  PYTHONPATH=root/usr/lib/python3/dist-packages /usr/bin/python3 read.py
} >seen
described <<'D'
parse-prometheus-text-format:
plain [{"buckets":{"1":"1","+Inf":"2"},"count":"2","sum":"3"}]
requests [{"buckets":{"1":"100","+Inf":"200"}}]
prometheus_client:
plain has 4 samples
requests has 8 samples
D
