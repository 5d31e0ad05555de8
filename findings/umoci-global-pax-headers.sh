#!/usr/bin/env bash
# umoci 0.4.7 (Debian 12, 0.4.7+ds-3+b7) does not unpack an image with a layer that has a global extended header. `git archive` begins every
# archive with one (the commit's id as a comment), so a layer made of one is such a layer; buildah 1.28.2 unpacks the same image.
#
# OCI image specification, layer.md: layers are tar archives, with POSIX.1-2001 (pax) headers where attributes need them. POSIX.1-2001, pax, "pax
# Header Block": typeflag g is a global extended header, whose records apply to the files that follow; a comment is to be ignored. umoci takes it
# for a file of an unknown type.
. "$(dirname "$0")/common.sh"
debian umoci=0.4.7+ds-3+b7 buildah=1.28.2+ds1-3+deb12u1+b3 git=1:2.39.5-0+deb12u3 libdevmapper1.02.1=2:1.02.185-2 \
  libgpgme11=1.18.0-3+deb12u1 libassuan0=2.5.5-5 libpcre2-8-0=10.42-1
. "$scripts/image.sh"
export GIT_EXEC_PATH=$work/root/usr/lib/git-core GIT_CONFIG_NOSYSTEM=1 HOME=$work
git init -q repo
echo hello >repo/file
git -C repo add file
git -C repo -c user.name=a -c user.email=a@localhost commit -qm one
git -C repo archive HEAD >with.tar
tar -C repo -cf without.tar file

for layer in without with; do
  make_image $layer.tar
  echo "$layer global header"
  echo "  umoci: $(unpack_by_umoci | sed 's/.*unpack entry: //')"
  echo "  buildah: $(unpack_by_buildah)"
done >seen
described <<'D'
without global header
  umoci: file=hello
  buildah: file=hello
with global header
  umoci: pax_global_header: unknown typeflag '\x67'
  buildah: file=hello
D
