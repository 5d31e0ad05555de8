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

# The official Python client of Debian 12, and `answering`: a client of an API server that answers each GET with what a function of its path gives,
# the content type and the text.
python_client() {
  # shellcheck disable=SC2046
  debian python3-kubernetes=22.6.0-2 $(python_needs python3-kubernetes)
  export PYTHONPATH="$work/root/usr/lib/python3/dist-packages:$work"
  cat >answering.py <<'P'
import http.server, threading
from kubernetes import client

def answering(answer):
    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            content_type, text = answer(self.path)
            body = text.encode()
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    configuration = client.Configuration(host="http://127.0.0.1:%d" % server.server_port)
    configuration.client_side_validation = False
    return client.ApiClient(configuration)
P
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
