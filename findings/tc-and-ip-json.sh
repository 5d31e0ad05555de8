#!/usr/bin/env bash
# iproute2 6.1.0 (Debian 12, 6.1.0-3): the JSON of `tc` and `ip` is partly no JSON, and partly loses what the text has.
#
# tc(8), ip(8), option -j: results are displayed in JSON format.
# - `tc -j class show`: classes of htb come as text, with exit status 0. (The qdiscs beside them come as JSON.)
# - `tc -j filter show`: each match of a u32 filter is a further member "match" of the same object, so readers keep one of them: a filter for
#   an address and a port looks like one for the port.
# - `ip -j addr show up`: an empty object stands in the array for each interface that is not up.
. "$(dirname "$0")/common.sh"
debian iproute2=6.1.0-3 jq=1.6-2.1+deb12u3 libjq1=1.6-2.1+deb12u3
export PATH="$work/root/sbin:$work/root/bin:$work/root/usr/bin:$PATH" LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu"

cat >inside <<'I'
ip link add one type veth peer name two
ip link set one up
tc qdisc add dev one root handle 1: htb default 30
tc class add dev one parent 1: classid 1:30 htb rate 1mbit burst 15k
tc filter add dev one parent 1: protocol ip prio 1 u32 match ip dst 10.9.0.2/32 match ip dport 80 0xffff flowid 1:30
echo "qdiscs: $(tc -j qdisc show dev one | jq -r '.[0].kind')"
echo "classes: $(tc -j class show dev one | cut -c1-14)"
echo "matches of the filter as text: $(tc filter show dev one | grep -c match)"
tc -j filter show dev one >filters
echo "matches of the filter as JSON: $(grep -o '"match":' filters | wc -l)"
echo "after parsing: $(jq -c '[.[] | .options.match? // empty | .value]' filters)"
echo "interfaces up: $(ip -j addr show up | jq -c '[.[].ifname] | unique')"
I
unshare -n bash inside >seen
described <<'D'
qdiscs: htb
classes: class htb 1:30
matches of the filter as text: 2
matches of the filter as JSON: 2
after parsing: ["50"]
interfaces up: [null,"one"]
D
