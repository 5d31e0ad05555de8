#!/usr/bin/env bash
# npm package docker-parse-image 3.0.1: images that pods name every day are read as other images. One that is pinned by its digest gets the digest
# as its tag, so that `fullname` is no reference any more; every domain but Docker Hub's gets "library/" before a single name, which is another
# repository; `localhost/db`, as podman and buildah name local images, is the namespace "localhost" of no domain; a path of four parts gives null.
#
# The page "Images" (Kubernetes documentation, section Image names) names all of these forms: a registry host, nested paths, a tag, a digest, or
# both. Grammar: OCI distribution, package reference: [domain "/"] path [":" tag] ["@" digest]; a first part that has a dot or a colon, or is
# "localhost", is the domain. The npm package parse-docker-image-name 3.0.0 reads these, but gives an empty object, not an error, for a domain that
# is an IPv6 address, which the grammar has too.
. "$(dirname "$0")/common.sh"
npm_packages docker-parse-image@3.0.1 parse-docker-image-name@3.0.0
cat >read.cjs <<'J'
const first = require('docker-parse-image');
const second = require('parse-docker-image-name');
const digest = 'sha256:' + '0123456789abcdef'.repeat(4);
for (const image of ['registry.example/team/db:16', 'db@DIGEST', 'registry.example/db:16@DIGEST', 'localhost/db:16', 'registry.example/a/b/c/db:16', '[fd00::1]:5000/db:16']) {
  const read = first(image.replace('DIGEST', digest));
  const show = (value) => JSON.stringify(value).replaceAll(digest, 'DIGEST');
  console.log(image);
  console.log('  docker-parse-image ' + show(read && [read.registry, read.namespace, read.repository, read.tag, read.fullname]));
  console.log('  parse-docker-image-name ' + show((second.default || second)(image.replace('DIGEST', digest))));
}
J
node read.cjs >seen
described <<'D'
registry.example/team/db:16
  docker-parse-image ["registry.example","team","db","16","registry.example/team/db:16"]
  parse-docker-image-name {"domain":"registry.example","path":"team/db","tag":"16"}
db@DIGEST
  docker-parse-image [null,null,"db","DIGEST","library/db:DIGEST"]
  parse-docker-image-name {"path":"db","digest":"DIGEST"}
registry.example/db:16@DIGEST
  docker-parse-image ["registry.example",null,"db","16@DIGEST","registry.example/library/db:16@DIGEST"]
  parse-docker-image-name {"domain":"registry.example","path":"db","tag":"16","digest":"DIGEST"}
localhost/db:16
  docker-parse-image [null,"localhost","db","16","localhost/db:16"]
  parse-docker-image-name {"domain":"localhost","path":"db","tag":"16"}
registry.example/a/b/c/db:16
  docker-parse-image null
  parse-docker-image-name {"domain":"registry.example","path":"a/b/c/db","tag":"16"}
[fd00::1]:5000/db:16
  docker-parse-image ["[fd00::1]:5000",null,"db","16","[fd00::1]:5000/library/db:16"]
  parse-docker-image-name {}
D
