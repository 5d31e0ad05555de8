#!/usr/bin/env bash
# buildah 1.28.2 (Debian 12; its library containers/storage, driver vfs): a whiteout hides a file of its own layer, if it comes after it in the
# archive; one that comes after a directory of its layer makes the image unusable. umoci 0.4.7 reads the same images as specified.
#
# OCI image specification (layer.md, Whiteouts): whiteouts apply to the layers below only; what is in the same layer as a whiteout can be
# hidden by later layers only; opaque whiteouts apply first, wherever in the archive they are. Writers should put whiteouts before what stands
# beside them, but need not, so readers have to take both.
. "$(dirname "$0")/common.sh"
debian buildah=1.28.2+ds1-3+deb12u1+b3 umoci=0.4.7+ds-3+b7 libdevmapper1.02.1=2:1.02.185-2 libgpgme11=1.18.0-3+deb12u1 libassuan0=2.5.5-5
export PATH="$work/root/usr/bin:$PATH" LD_LIBRARY_PATH="$work/root/lib/x86_64-linux-gnu:$work/root/usr/lib/x86_64-linux-gnu"
export STORAGE_DRIVER=vfs REGISTRY_AUTH_FILE=$work/auth.json
echo '{}' >auth.json
echo '{"default": [{"type": "insecureAcceptAnything"}]}' >policy.json
buildah_here() { buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"; }

# blob FILE: puts it into the image's folder and prints "digest":...,"size":...
blob() {
  local digest
  digest=$(sha256sum <"$1" | cut -d' ' -f1)
  cp "$1" "image/blobs/sha256/$digest"
  echo '"digest": "sha256:'"$digest"'", "size": '"$(stat -c %s "$1")"
}
# image ENTRY...: an image of a fixed layer and one of these entries, in this order.
image() {
  rm -rf image layer
  mkdir -p image/blobs/sha256 layer/{a,d}
  echo below >layer/a/file
  echo below >layer/d/below
  tar -C layer -cf one.tar a d
  echo same >layer/a/file
  touch layer/a/.wh.file layer/.wh.d layer/d/.wh..wh..opq layer/d/same
  tar -C layer --no-recursion -cf two.tar "$@"
  local type='"mediaType": "application/vnd.oci.image'
  echo '{"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids":
    ["sha256:'"$(sha256sum <one.tar | cut -d' ' -f1)"'", "sha256:'"$(sha256sum <two.tar | cut -d' ' -f1)"'"]}}' >config
  echo '{"schemaVersion": 2, '"$type"'.manifest.v1+json", "config": {'"$type.config.v1+json\", $(blob config)"'}, "layers": [
    {'"$type.layer.v1.tar\", $(blob one.tar)"'}, {'"$type.layer.v1.tar\", $(blob two.tar)"'}]}' >manifest
  echo '{"schemaVersion": 2, "manifests": [{'"$type.manifest.v1+json\", $(blob manifest)"',
    "annotations": {"org.opencontainers.image.ref.name": "one"}}]}' >image/index.json
  echo '{"imageLayoutVersion": "1.0.0"}' >image/oci-layout
}
files() { (cd "$1" && find . -type f -exec sh -c 'echo "$1=$(cat "$1")"' sh {} \; | sed 's/^..//; s/=$//' | sort | paste -sd' '); }
compare() {
  image "$@"
  rm -rf bundle
  umoci unpack --image image:one bundle >umoci.log 2>&1 || { cat umoci.log; exit 2; }
  echo "$*"
  echo "  umoci: $(files bundle/rootfs)"
  if name=$(buildah_here from --signature-policy policy.json oci:image:one 2>buildah.log); then
    echo "  buildah: $(files "$(buildah_here mount "$name")")"
    buildah_here rm "$name" >rm.log
  else
    echo "  buildah: $(grep -o '/[a-z]*: no such file or directory' buildah.log | tail -n 1)"
  fi
}
{
  compare a a/.wh.file a/file
  compare a a/file a/.wh.file
  compare d d/same d/.wh..wh..opq
  compare .wh.d d d/same
  compare d d/same .wh.d
} >seen
described <<'D'
a a/.wh.file a/file
  umoci: a/file=same d/below=below
  buildah: a/file=same d/below=below
a a/file a/.wh.file
  umoci: a/file=same d/below=below
  buildah: d/below=below
d d/same d/.wh..wh..opq
  umoci: a/file=below d/same
  buildah: a/file=below d/same
.wh.d d d/same
  umoci: a/file=below d/same
  buildah: a/file=below d/same
d d/same .wh.d
  umoci: a/file=below d/same
  buildah: /d: no such file or directory
D
