#!/usr/bin/env bash
# buildah 1.28.2 (Debian 12; its library containers/storage, driver vfs): a whiteout hides a file of its own layer, if it comes after it in the
# archive; one that comes after a directory of its layer makes the image unusable. umoci 0.4.7 reads the same images as specified.
#
# OCI image specification (layer.md, Whiteouts): whiteouts apply to the layers below only; what is in the same layer as a whiteout can be
# hidden by later layers only; opaque whiteouts apply first, wherever in the archive they are. Writers should put whiteouts before what stands
# beside them, but need not, so readers have to take both.
. "$(dirname "$0")/common.sh"
debian buildah=1.28.2+ds1-3+deb12u1+b3 umoci=0.4.7+ds-3+b7 libdevmapper1.02.1=2:1.02.185-2 libgpgme11=1.18.0-3+deb12u1 libassuan0=2.5.5-5
. "$scripts/image.sh"

mkdir -p below/{a,d} layer/{a,d}
echo below | tee below/a/file >below/d/below
tar -C below -cf below.tar a d
echo same >layer/a/file
touch layer/a/.wh.file layer/.wh.d layer/d/.wh..wh..opq layer/d/same
# The second layer's entries, in the order given.
compare() {
  tar -C layer --no-recursion -cf layer.tar "$@"
  make_image below.tar layer.tar
  echo "$*"
  echo "  umoci: $(unpack_by_umoci)"
  echo "  buildah: $(unpack_by_buildah | sed 's|.* \(/[a-z]*: no such file\)|\1|; s/ exit status.*//')"
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
