# shellcheck shell=bash
# Sourced by the scripts beside it: a temporary folder to work in, pinned packages in it, and the comparison at the end.
set -euo pipefail
scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export scripts
work=$(mktemp -d)
# A script that starts or mounts something says here how it ends.
clean_up() { :; }
trap 'clean_up; rm -rf "$work"' EXIT
cd "$work"

# debian NAME=VERSION...: unpacks Debian packages below ./root; nothing on the machine is changed.
debian() {
  apt-get download -q -o APT::Sandbox::User=root "$@" >apt.log 2>&1 || { cat apt.log; exit 2; }
  local package
  for package in ./*.deb; do
    dpkg-deb -x "$package" root
    rm "$package"
  done
}

# The Python packages that a Debian package needs, by name.
python_needs() {
  apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances "$1" |
    grep '^python3-' | sort -u
}

# npm_packages NAME@VERSION...: installs npm packages below ./node_modules.
npm_packages() {
  echo '{"type": "module"}' >package.json
  npm install --ignore-scripts --no-audit --no-fund "$@" >npm.log 2>&1 || { cat npm.log; exit 2; }
}

# The end of a script: what was seen (file `seen`) against what its head describes (standard input).
described() {
  cat >described
  cat seen
  if diff described seen >changed; then
    echo "as described"
    exit 0
  fi
  echo "CHANGED (< described, > seen):"
  cat changed
  exit 1
}
