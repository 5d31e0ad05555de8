#!/usr/bin/env bash
# crun 1.8.1, runc 1.1.5 and the CNI plugin `tuning` 1.1.1 (Debian 12): none can set a sysctl of an interface whose name has a dot, as those of
# VLANs do (eth0.100).
#
# The OCI runtime specification (config-linux.md, Sysctl) takes parameters as sysctl(8) does, and sysctl(8), sysctl.d(5) and the Kubernetes
# page "Using sysctls in a Kubernetes Cluster" have a form for such names: "net/ipv4/conf/eth0.100/forwarding", also written
# "net.ipv4.conf.eth0/100.forwarding" (the kubelet turns the first into the second before it asks the runtime). All three tools turn every
# dot into a slash and leave slashes, so both forms name /proc/sys/net/ipv4/conf/eth0/100, and containers do not start. The plugin does so
# even where it puts in the interface's name itself, for its placeholder IFNAME.
# Names with slashes and no dots work, so slashes as such are understood.
. "$(dirname "$0")/common.sh"
debian crun=1.8.1-1+deb12u1 runc=1.1.5+ds1-1+deb12u1 containernetworking-plugins=1.1.1+ds1-3+b5 busybox-static=1:1.35.0-4+deb12u1+b1
mkdir -p bundle/rootfs/{bin,proc,sys,dev}
cp root/bin/busybox bundle/rootfs/bin/

unshare -n sleep 60 &
pod=$!
clean_up() { kill "$pod" 2>/dev/null || true; }
while [ "$(readlink /proc/$pod/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
nsenter -n -t "$pod" ip link add eth0.100 type veth peer name other

# The last line of an error, without what comes before the system's words.
short() { tail -n 1 | sed 's/.*open/open/; s/"$//; s/No such/no such/'; }
oci() {
  cat >bundle/config.json <<J
{"ociVersion": "1.0.2", "root": {"path": "rootfs"}, "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
 "process": {"user": {"uid": 0, "gid": 0}, "cwd": "/", "args": ["/bin/busybox", "echo", "started"]},
 "linux": {"sysctl": {"$2": "1"}, "namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "network", "path": "/proc/$pod/ns/net"}]}}
J
  # crun takes no mix of cgroups v1 and v2.
  unshare -m sh -c 'mount -t tmpfs none /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec "$@"' sh \
    "$1" --root "$work/state" run -b bundle one </dev/null 2>&1 | short
}
tuning() {
  local config='{"cniVersion": "1.0.0", "name": "n", "type": "tuning", "sysctl": {"'"$1"'": "1"}, "prevResult": {"cniVersion": "1.0.0", "ips": []}}'
  if CNI_PATH=root/usr/lib/cni CNI_COMMAND=ADD CNI_CONTAINERID=c CNI_IFNAME=eth0.100 CNI_NETNS=/proc/$pod/ns/net root/usr/lib/cni/tuning \
    <<<"$config" >result; then
    echo "set"
  else
    grep -o 'open.*[a-z]' result
  fi
}
for name in net/ipv4/conf/all/forwarding net/ipv4/conf/eth0.100/forwarding net.ipv4.conf.eth0/100.forwarding; do
  echo "$name"
  echo "  sysctl: $(nsenter -n -t "$pod" sysctl -n -w "$name=1")"
  echo "  crun: $(oci "$work/root/usr/bin/crun" "$name")"
  echo "  runc: $(oci "$work/root/usr/sbin/runc" "$name")"
  echo "  tuning: $(tuning "$name")"
done >seen
echo "net.ipv4.conf.IFNAME.forwarding
  tuning: $(tuning net.ipv4.conf.IFNAME.forwarding)" >>seen
described <<'D'
net/ipv4/conf/all/forwarding
  sysctl: 1
  crun: started
  runc: started
  tuning: set
net/ipv4/conf/eth0.100/forwarding
  sysctl: 1
  crun: open /proc/sys/net/ipv4/conf/eth0/100/forwarding: no such file or directory
  runc: open /proc/sys/net/ipv4/conf/eth0/100/forwarding: no such file or directory
  tuning: open /proc/sys/net/ipv4/conf/eth0/100/forwarding: no such file or directory
net.ipv4.conf.eth0/100.forwarding
  sysctl: 1
  crun: open /proc/sys/net/ipv4/conf/eth0/100/forwarding: no such file or directory
  runc: open /proc/sys/net/ipv4/conf/eth0/100/forwarding: no such file or directory
  tuning: open /proc/sys/net/ipv4/conf/eth0/100/forwarding: no such file or directory
net.ipv4.conf.IFNAME.forwarding
  tuning: open /proc/sys/net/ipv4/conf/eth0/100/forwarding: no such file or directory
D
