#!/usr/bin/env bash
# mke2fs 1.47.0 (Debian 12, e2fsprogs 1.47.0-2+b2) on an image file whose space was reserved by fallocate: it gives nearly all of the
# reservation back, without a word. A volume that was promised its space may then run out of it when its node does. mkfs.xfs 6.1.0, which
# discards by default as well, leaves the file's reservation alone.
#
# fallocate(1): preallocates blocks to a file. mke2fs(8), option -E discard: attempts to discard blocks at mkfs time, which is useful on solid
# state devices and sparse or thin-provisioned storage; the default. Nothing says that for a file this means punching a hole in it.
# -E nodiscard keeps the reservation.
. "$(dirname "$0")/common.sh"
debian e2fsprogs=1.47.0-2+b2 libext2fs2=1.47.0-2+b2 libcom-err2=1.47.0-2+b2 libss2=1.47.0-2+b2 logsave=1.47.0-2+b2 \
  xfsprogs=6.1.0-1 libinih1=55-1 liburcu8=0.13.2-1
export PATH="$work/root/sbin:$PATH" LD_LIBRARY_PATH="$work/root/lib/x86_64-linux-gnu:$work/root/usr/lib/x86_64-linux-gnu"
export MKE2FS_CONFIG=$work/root/etc/mke2fs.conf

cat >inside <<'I'
mount -t tmpfs none space
for make in "mke2fs -q -F -t ext4" "mke2fs -q -F -t ext4 -E nodiscard" "mkfs.xfs -q -f"; do
  fallocate -l 320M space/image
  $make space/image >made 2>&1 || cat made
  echo "$make: of 320 MiB reserved $([ "$(stat -c %b space/image)" -gt 600000 ] && echo "nearly all" || echo "next to nothing") is left"
  rm space/image
done
I
mkdir space
unshare -m bash inside >seen
described <<'D'
mke2fs -q -F -t ext4: of 320 MiB reserved next to nothing is left
mke2fs -q -F -t ext4 -E nodiscard: of 320 MiB reserved nearly all is left
mkfs.xfs -q -f: of 320 MiB reserved nearly all is left
D
