# shellcheck shell=bash
# Sourced after common.sh by the scripts about image layers: images made of archives, and what umoci and buildah unpack.
export PATH="$work/root/usr/bin:$PATH" LD_LIBRARY_PATH="$work/root/lib/x86_64-linux-gnu:$work/root/usr/lib/x86_64-linux-gnu"
# Plain directories for layers, which need nothing of the machine.
export STORAGE_DRIVER=vfs
echo '{"default": [{"type": "insecureAcceptAnything"}]}' >policy.json

blob() {
  local digest
  digest=$(sha256sum <"$1" | cut -d' ' -f1)
  cp "$1" "image/blobs/sha256/$digest"
  echo '"digest": "sha256:'"$digest"'", "size": '"$(stat -c %s "$1")"
}

# make_image ARCHIVE...: an OCI image of these layers, in the folder `image`.
make_image() {
  rm -rf image
  mkdir -p image/blobs/sha256
  local type='"mediaType": "application/vnd.oci.image' layers="" ids="" archive
  for archive in "$@"; do
    layers+="${layers:+, }{$type.layer.v1.tar\", $(blob "$archive")}"
    ids+="${ids:+, }\"sha256:$(sha256sum <"$archive" | cut -d' ' -f1)\""
  done
  echo '{"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": ['"$ids"']}}' >config
  echo '{"schemaVersion": 2, '"$type.manifest.v1+json\", \"config\": {$type.config.v1+json\", $(blob config)}, \"layers\": [$layers]}" >manifest
  echo '{"schemaVersion": 2, "manifests": [{'"$type.manifest.v1+json\", $(blob manifest)"',
    "annotations": {"org.opencontainers.image.ref.name": "one"}}]}' >image/index.json
  echo '{"imageLayoutVersion": "1.0.0"}' >image/oci-layout
}

# The files below a folder, as PATH=CONTENT.
files() { (cd "$1" && find . -type f -exec sh -c 'echo "$1=$(cat "$1")"' sh {} \; | sed 's/^..//; s/=$//' | sort | paste -sd' '); }

unpack_by_umoci() {
  rm -rf bundle
  if umoci unpack --image image:one bundle >umoci.log 2>&1; then files bundle/rootfs; else tail -n 1 umoci.log; fi
}

unpack_by_buildah() {
  local buildah=(buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs) name
  if name=$("${buildah[@]}" from --signature-policy policy.json oci:image:one 2>buildah.log); then
    files "$("${buildah[@]}" mount "$name")"
    "${buildah[@]}" rm "$name" >rm.log
  else
    tail -n 1 buildah.log
  fi
}
