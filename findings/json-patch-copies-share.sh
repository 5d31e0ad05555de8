#!/usr/bin/env bash
# npm package json-patch 0.7.0: what the operation "copy" made is no copy, and "move" of a value to the whole document makes a member "undefined".
#
# RFC 6902: 4.5 "copy" is the same as "add" with the value at "from", so a later operation on the copy leaves the original alone; 4.4 "move" is a
# "remove" and then an "add", and 4.1 "add" with the path "" sets the whole document. Both are what a template for a second container or port
# does: copy an entry, then change its name. Read by jsonpatch 1.32 (Python, Debian 12), which does as the RFC says.
. "$(dirname "$0")/common.sh"
debian python3-jsonpatch=1.32-2 python3-json-pointer=2.3-2
npm_packages json-patch@0.7.0
cat >apply.js <<'J'
import patch from 'json-patch';
console.log(JSON.stringify(patch.apply(JSON.parse(process.argv[2]), JSON.parse(process.argv[3]))));
J
cat >apply.py <<'P'
import json, sys
import jsonpatch
print(json.dumps(jsonpatch.apply_patch(json.loads(sys.argv[1]), json.loads(sys.argv[2])), separators=(",", ":")))
P
both() {
  echo "$1 with $2"
  echo "  json-patch: $(node apply.js "$1" "$2")"
  echo "  jsonpatch: $(PYTHONPATH=root/usr/lib/python3/dist-packages /usr/bin/python3 apply.py "$1" "$2")"
}
{
  both '[{"name":"a"}]' '[{"op":"copy","from":"/0","path":"/-"},{"op":"replace","path":"/1/name","value":"b"}]'
  both '{"spec":{"a":1}}' '[{"op":"move","from":"/spec","path":""}]'
} >seen
described <<'D'
[{"name":"a"}] with [{"op":"copy","from":"/0","path":"/-"},{"op":"replace","path":"/1/name","value":"b"}]
  json-patch: [{"name":"b"},{"name":"b"}]
  jsonpatch: [{"name":"a"},{"name":"b"}]
{"spec":{"a":1}} with [{"op":"move","from":"/spec","path":""}]
  json-patch: {"undefined":{"a":1}}
  jsonpatch: {"a":1}
D
