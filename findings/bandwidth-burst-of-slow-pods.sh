#!/usr/bin/env bash
# CNI plugin `bandwidth` 1.1.1 (Debian 12, containernetworking-plugins 1.1.1+ds1-3+b5) on Linux's tbf: with a large burst and a slow rate a
# pod is given a small burst, and a queue that takes an hour to drain.
#
# The plugin's page (cni.dev, "bandwidth plugin", Network configuration reference) has ingressBurst as the most bits that may go at once,
# with no limit that depends on the rate. For the annotation kubernetes.io/ingress-bandwidth containerd passes the largest burst of 32 bits,
# 4294967295 bits (536 MB), whatever the rate. The plugin makes a tbf of that, meant to let a packet wait 25 ms at most.
# tbf keeps its burst as time, in 32 bits of ticks of 64 ns: what is sent in more than 274 s wraps around without an error. The queue's limit
# is a number of bytes and does not wrap. So at 1 Mbit/s: the burst is 21 MB, and packets may wait 69 minutes.
. "$(dirname "$0")/common.sh"
version=1.1.1+ds1-3+b5
debian "containernetworking-plugins=$version" iproute2=6.1.0-3 libbpf1
export PATH="$work/root/sbin:$work/root/bin:$PATH" LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu"

cat >inside <<'I'
ip link add host0 type veth peer name eth0 netns "$1"
for rate in 1000000 1000000000; do
  for burst in 100000000 4294967295; do
    echo '{"cniVersion": "1.0.0", "name": "n", "type": "bandwidth", "ingressRate": '$rate', "ingressBurst": '$burst',
      "prevResult": {"cniVersion": "1.0.0", "interfaces": [{"name": "host0"}, {"name": "eth0", "sandbox": "/proc/'$1'/ns/net"}], "ips": []}}' |
      CNI_PATH=root/usr/lib/cni CNI_COMMAND=ADD CNI_CONTAINERID=c CNI_IFNAME=eth0 CNI_NETNS=/proc/$1/ns/net root/usr/lib/cni/bandwidth >result ||
      cat result
    echo "$rate bit/s, burst of $((burst / 8)) bytes: $(tc qdisc show dev host0 | grep -o 'burst [^ ]*\|lat [^ ]*' | paste -sd' ')"
    tc qdisc del dev host0 root
  done
done
I
unshare -n sleep 60 &
pod=$!
clean_up() { kill "$pod" 2>/dev/null || true; }
while [ "$(readlink /proc/$pod/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
unshare -n bash inside "$pod" >seen
described <<'D'
1000000 bit/s, burst of 12500000 bytes: burst 12500000b lat 25ms
1000000 bit/s, burst of 536870911 bytes: burst 21474835b lat 4.12e+03s
1000000000 bit/s, burst of 12500000 bytes: burst 12500000b lat 25ms
1000000000 bit/s, burst of 536870911 bytes: burst 512Mb lat 25ms
D
