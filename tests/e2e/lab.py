"""A cluster for tests: starts it in a directory of its own, talks to it with a real kubectl, and stops it.

Cluster    one `berth up`, and the state of the machine (processes, mounts, loop devices, cgroups)
Session    one namespace of a cluster and one kubectl; commands look as a user types them
Watch      records the watch events of a collection, in order
Terminal   a command on a pseudo-terminal, for `exec -it`
"""
import base64
import codecs
import contextlib
import fcntl
import hashlib
import http.client
import json
import os
import pathlib
import pty
import random
import re
import select
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import termios
import threading
import time

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
HERE = pathlib.Path(__file__).resolve().parent
BERTH = os.environ.get("BERTH", str(ROOT / "build/release/berth"))
IMAGE_CACHE = pathlib.Path(os.environ.get("BERTH_IMAGE_CACHE", ROOT / "build/cache"))
# Timeouts are given for an idle machine and multiplied by this on a busy one. No test may depend on durations.
PATIENCE = 5

# The images of the tests and their build inputs. `files` are relative to this folder.
WEB = "berth.test/web:1"
DATABASE = "berth.test/mariadb:1"
REPLICA = "berth.test/mariadb-replica:1"
IMAGES = {
    WEB: {
        "packages": "nginx-light curl bind9-dnsutils mariadb-client procps",
        "files": {"images/web-start": "/usr/local/bin/web-start", "images/netexec": "/usr/local/bin/netexec"},
        "options": ["--cmd", '["/usr/local/bin/web-start"]', "--run", "chmod 755 /usr/local/bin/web-start /usr/local/bin/netexec"],
    },
    DATABASE: {
        "packages": "mariadb-server procps",
        "files": {"images/database-start": "/usr/local/bin/database-start"},
        "options": ["--entrypoint", '["/usr/local/bin/database-start"]', "--user", "1000:1000",
                    "--run", "chmod 755 /usr/local/bin/database-start",
                    "--run", "groupmod -g 1000 mysql && usermod -u 1000 -g 1000 mysql",
                    "--run", "rm -rf /var/lib/mysql /run/mysqld && install -d -o 1000 -g 1000 /var/lib/mysql /run/mysqld"],
    },
    REPLICA: {  # the tutorial's two images, server and backup tool, in one
        "packages": "mariadb-server mariadb-backup ncat procps",
        "files": {"images/replica-start": "/usr/local/bin/replica-start"},
        "options": ["--entrypoint", '["/usr/local/bin/replica-start"]',
                    "--run", "chmod 755 /usr/local/bin/replica-start",
                    "--run", "rm -rf /var/lib/mysql && install -d -o mysql -g mysql /var/lib/mysql /run/mysqld"],
    },
}


def kubectls():
    """{name: path}: Debian's kubectl 1.20 and the newest kubectl installed on this machine."""
    found = {"1.20": str(ROOT / "build/tools/kubectl-1.20")}
    newest = sorted(pathlib.Path("/usr/lib/google-cloud-sdk/bin").glob("kubectl.1.*"), key=lambda p: int(p.name.split(".")[2]))
    if newest:
        found[newest[-1].name.removeprefix("kubectl.")] = str(newest[-1])
    elif shutil.which("kubectl"):
        found["newest"] = shutil.which("kubectl")
    return found


def newest_kubectl():
    return list(kubectls().values())[-1]


def free_port():
    """Below the range of ephemeral ports: the kernel could give one of those to an outgoing connection before it is used."""
    lowest = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(10000, lowest)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


def _roomy_memory():
    """A directory in memory if there is room for several clusters: deleting images from disks can take half a minute."""
    shm = "/dev/shm"
    return shm if os.path.ismount(shm) and shutil.disk_usage(shm).free > 8 << 30 else None


class Failed(AssertionError):
    pass


def run(argv, stdin=None, env=None, timeout=120, check=True, umask=-1):
    done = subprocess.run(argv, input=stdin, env=env, timeout=PATIENCE * timeout, capture_output=True, text=True, umask=umask)
    if check and done.returncode != 0:
        raise Failed(f"{' '.join(map(str, argv))}\nexit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def wait_for(what, probe, timeout=60, every=0.05):
    """Calls `probe` until it returns something true. The failure message contains its last result or exception."""
    timeout *= PATIENCE
    end = time.monotonic() + timeout
    last = None
    while time.monotonic() < end:
        try:
            last = probe()
            if last:
                return last
        except (Failed, KeyError, IndexError, TypeError, OSError) as problem:
            last = problem
        time.sleep(every)
    raise Failed(f"timed out after {timeout} s waiting for {what}; last: {last}")


def pod(name, *containers, **spec):
    """A pod manifest. Its containers use the image WEB and sleep, unless specified otherwise."""
    plain = {"name": "c", "image": WEB, "command": ["sleep", "100000"]}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
                       "spec": {"terminationGracePeriodSeconds": 0, "containers": [{**plain, **one} for one in containers or [{}]], **spec}})


def is_ready(pod):
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod.get("status", {}).get("conditions", []))


def columns(table):
    """Parses kubectl's table into rows of cells."""
    return [re.split(r"\s{2,}", line.strip()) for line in table.strip().splitlines()]


class Cluster:
    def __init__(self, data_dir=None):
        self.data_dir = data_dir or tempfile.mkdtemp(prefix="berth-e2e-", dir=_roomy_memory())
        self.home = tempfile.mkdtemp(prefix="berth-e2e-home-")  # kubectl's cache directory is in here
        self.port = free_port()
        self._tls = None

    @property
    def env(self):
        return {**os.environ, "KUBECONFIG": f"{self.data_dir}/kubeconfig", "NO_PROXY": "127.0.0.1,localhost",
                "no_proxy": "127.0.0.1,localhost", "HOME": self.home}

    def berth(self, *args, **kw):
        # A strict umask, as on hardened machines: containers that do not run as root must start all the same.
        return run([BERTH, *args, "--data-dir", self.data_dir], env=self.env, umask=0o077, **kw)

    def up(self, **kw):
        self._tls = None
        return self.berth("up", "--api-port", str(self.port), **kw)

    def down(self, *args, **kw):
        return self.berth("down", *args, **kw)

    def kubectl(self, *args, path=None, **kw):
        return run([path or newest_kubectl(), *args], env=self.env, **kw)

    # --- the API, called directly

    @property
    def tls(self):
        """A TLS context with the administrator's certificate."""
        if self._tls is None:
            config = yaml.safe_load(pathlib.Path(self.data_dir, "kubeconfig").read_text())
            user, cluster = config["users"][0]["user"], config["clusters"][0]["cluster"]
            self._tls = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
            with tempfile.NamedTemporaryFile() as pem:
                pem.write(base64.b64decode(user["client-certificate-data"]) + b"\n" + base64.b64decode(user["client-key-data"]))
                pem.flush()
                self._tls.load_cert_chain(pem.name)
        return self._tls

    def connection(self):
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=self.tls, timeout=60 * PATIENCE)

    def request(self, method, path, body=None, content_type="application/json"):
        """Returns (status code, answer parsed from JSON)."""
        connection = self.connection()
        try:
            connection.request(method, path, body, {"Content-Type": content_type} if body is not None else {})
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text[:1] == b"{" else text.decode(errors="replace")
        finally:
            connection.close()

    def api(self, path):
        status, body = self.request("GET", path)
        if status != 200:
            raise Failed(f"GET {path}: {status} {body}")
        return body

    # --- images

    def image(self, reference):
        """Builds an image (once: the archive is kept under a hash of its recipe) and imports it."""
        recipe = IMAGES[reference]
        contents = "".join((HERE / source).read_text() for source in recipe["files"])
        key = hashlib.sha256((json.dumps(recipe) + contents).encode()).hexdigest()[:12]
        IMAGE_CACHE.mkdir(parents=True, exist_ok=True)
        archive = IMAGE_CACHE / (re.sub(r"[/:]", "_", reference) + f"-{key}.tar")
        if not archive.exists():
            files = [f"{HERE / source}:{target}" for source, target in recipe["files"].items()]
            options = [word for f in files for word in ("--file", f)] + recipe["options"]
            self.berth("image", "build", reference, "--packages", recipe["packages"], "--cache", str(IMAGE_CACHE / "packages"),
                       "--output", f"{archive}.{os.getpid()}", *options, timeout=600)
            os.rename(f"{archive}.{os.getpid()}", archive)
        self.berth("image", "import", str(archive), timeout=300)

    # --- the machine

    def pid(self, role):
        return int(pathlib.Path(self.data_dir, "run", f"{role}.pid").read_text().split()[0])

    def kill(self, role, how=signal.SIGKILL):
        """Sends SIGKILL (or another signal) to the server or the agent; returns when the process is gone."""
        pid = self.pid(role)
        os.kill(pid, how)
        wait_for(f"end of {role}", lambda: not pathlib.Path(f"/proc/{pid}/cmdline").exists()
                 or pathlib.Path(f"/proc/{pid}/cmdline").read_bytes() == b"")

    def pids(self):
        """Every process of the cluster: its daemons, conmon, and all processes in its containers."""
        pids = set()
        for directory in _directories("/sys/fs/cgroup", self.cgroup_name()):
            for procs in pathlib.Path(directory).rglob("cgroup.procs"):
                try:
                    pids.update(int(p) for p in procs.read_text().split())
                except OSError:
                    pass
        for pid, command in _processes():
            if self.data_dir in command:
                pids.add(pid)
        return pids

    def cgroup_name(self):
        return "berth-" + hashlib.sha256(self.data_dir.encode()).hexdigest()[:8]

    def leftovers(self):
        """What must not exist after `berth down`: processes, mounts, loop devices, cgroups of the cluster."""
        found = [f"process {pid}: {command}" for pid, command in _processes() if self.data_dir in command]
        found += [f"mount {line}" for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines() if self.data_dir in line]
        found += [f"loop device {line}" for line in run(["losetup", "-a"]).stdout.splitlines() if self.data_dir in line]
        found += [f"cgroup {d}" for d in _directories("/sys/fs/cgroup", self.cgroup_name())]
        return found

    def node(self):
        """One line per resource that the node uses now, without images; to compare with an earlier call."""
        found = {f"process {pid}: {command}" for pid, command in _processes() if self.data_dir in command}
        for directory in _directories("/sys/fs/cgroup", self.cgroup_name()):
            found |= {f"cgroup {path}" for path, _, _ in os.walk(directory) if path != directory}
        mounts = pathlib.Path(f"/proc/{self.pid('agent')}/mountinfo").read_text().splitlines()
        found |= {f"mount {line.split()[4]}" for line in mounts if self.data_dir in line}
        found |= {f"loop device {line}" for line in run(["losetup", "-a"]).stdout.splitlines() if self.data_dir in line}
        inside = ["nsenter", f"--net={self.data_dir}/run/ns/net"]
        found |= {"interface " + line.split()[1] for line in run([*inside, "ip", "-o", "link"]).stdout.splitlines()}
        found |= {"address " + " ".join(line.split()[1:4]) for line in run([*inside, "ip", "-o", "-4", "address"]).stdout.splitlines()}
        if shutil.which("nft"):
            rules = re.sub(r"packets \d+ bytes \d+", "", run([*inside, "nft", "list", "ruleset"]).stdout)
            found |= {f"rule {line.strip()}" for line in rules.splitlines()}
        for path, directories, files in os.walk(f"{self.data_dir}/node"):
            if path == f"{self.data_dir}/node":
                directories.remove("images")
                continue  # the node's own state files
            found |= {f"file {path}/{name}" for name in directories + files}
        return found

    def logs(self):
        texts = []
        for name in ("server.log", "agent.log"):
            path = pathlib.Path(self.data_dir) / "logs" / name
            if path.exists():
                texts.append(f"--- {name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-60:]))
        return "\n".join(texts)


def _processes():
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                command = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            # Skip the tests' own processes: the command lines of kubectl and berth contain the directory too.
            if int(entry) != os.getpid() and command and "pytest" not in command:
                yield int(entry), command


def _directories(base, name):
    paths = [pathlib.Path(base, name)]
    paths += [pathlib.Path(base, child, name) for child in os.listdir(base)] if os.path.isdir(base) else []
    return [str(p) for p in paths if p.is_dir()]


class Session:
    """A namespace and its kubeconfig, so that commands need no `-n` and look as in a manual."""
    count = 0

    def __init__(self, cluster, kubectl_path=None, namespace=None):
        Session.count += 1
        self.cluster = cluster
        self.path = kubectl_path or newest_kubectl()
        self.old = "1.20" in self.path
        self.ns = namespace or f"e2e-{Session.count}"
        self.home = tempfile.mkdtemp(prefix="berth-e2e-home-")
        self.kubeconfig = f"{self.home}/kubeconfig"
        config = yaml.safe_load(pathlib.Path(cluster.data_dir, "kubeconfig").read_text())
        config["contexts"][0]["context"]["namespace"] = self.ns
        pathlib.Path(self.kubeconfig).write_text(yaml.safe_dump(config))
        if namespace is None:
            self.k("create", "namespace", self.ns)
            wait_for("default service account", lambda: self.cluster.api(f"/api/v1/namespaces/{self.ns}/serviceaccounts/default"))

    def close(self):
        run([self.path, "delete", "namespace", self.ns, "--wait=false"], env=self.env, check=False)
        self.close_home()

    def close_home(self):
        shutil.rmtree(self.home, ignore_errors=True)

    @property
    def env(self):
        return {**self.cluster.env, "KUBECONFIG": self.kubeconfig, "HOME": self.home}

    def k(self, *args, env=None, **kw):
        return run([self.path, *args], env={**self.env, **(env or {})}, **kw)

    def out(self, *args, **kw):
        return self.k(*args, **kw).stdout

    def fails(self, *args, **kw):
        """Runs a command that must fail; returns its stderr."""
        done = self.k(*args, check=False, **kw)
        if done.returncode == 0:
            raise Failed(f"kubectl {' '.join(args)} succeeded: {done.stdout}")
        return done.stderr

    def apply(self, text, **kw):
        return self.k("apply", "-f", "-", stdin=text, **kw).stdout

    def background(self, *args, **kw):
        """Starts a kubectl in the background; use as a context manager."""
        return Background([self.path, *args], self.env, **kw)

    @contextlib.contextmanager
    def listing(self, *args):
        """Starts `kubectl ARGS --watch` and waits until the watch is established, which -v=6 logs. The log contains the output."""
        with self.background(*args, "--watch", "-v=6") as listing:
            listing.wait_text(r'watch=true\S* (status=")?200 OK')
            yield listing

    def terminal(self, *args):
        return Terminal([self.path, *args], self.env)

    # --- objects, read through the API

    def list(self, resource, query=""):
        return self.cluster.api(f"{_prefix(resource)}/namespaces/{self.ns}/{resource}{query}")

    def get(self, resource, name):
        return self.cluster.api(f"{_prefix(resource)}/namespaces/{self.ns}/{resource}/{name}")

    def pod(self, name):
        return self.get("pods", name)

    def watch(self, resource="pods"):
        return Watch(self.cluster, f"{_prefix(resource)}/namespaces/{self.ns}/{resource}")

    def names(self, resource, query=""):
        return sorted(o["metadata"]["name"] for o in self.list(resource, query)["items"])

    def pods_of(self, selector):
        return self.list("pods", f"?labelSelector={selector.replace('=', '%3D')}")["items"]

    def wait_ready(self, *pods, timeout=60):
        for pod in pods:
            try:
                wait_for(f"pod {pod} Ready", lambda pod=pod: is_ready(self.pod(pod)), timeout)
            except Failed as problem:
                raise Failed(f"{problem}\n{self.k('describe', 'pod', pod, check=False).stdout}") from None

    def wait_gone(self, resource, name, timeout=60):
        path = f"{_prefix(resource)}/namespaces/{self.ns}/{resource}/{name}"
        wait_for(f"{resource}/{name} gone", lambda: self.cluster.request("GET", path)[0] == 404, timeout)

    def events(self, kind, name):
        return [(e["reason"], e["message"]) for e in self.list("events")["items"]
                if e["involvedObject"]["kind"] == kind and e["involvedObject"]["name"] == name]

    def wait_event(self, kind, name, reason, text="", timeout=30):
        """Waits for an event with that reason whose message matches; returns the message."""
        def probe():
            return next((m for r, m in self.events(kind, name) if r == reason and re.search(text, m)), None)
        try:
            return wait_for(f"event {reason} /{text}/ of {kind} {name}", probe, timeout)
        except Failed as problem:
            raise Failed(f"{problem}; there are: {self.events(kind, name)}") from None

    def exec(self, pod, script, container=None, **kw):
        chosen = ["-c", container] if container else []
        return self.out("exec", pod, *chosen, "--", "sh", "-c", script, **kw)


def _prefix(resource):
    group = {"statefulsets": "apps/v1", "deployments": "apps/v1", "replicasets": "apps/v1", "jobs": "batch/v1", "cronjobs": "batch/v1", "controllerrevisions": "apps/v1",
             "poddisruptionbudgets": "policy/v1", "leases": "coordination.k8s.io/v1"}.get(resource)
    return f"/apis/{group}" if group else "/api/v1"


class Watch:
    """Records all watch events of a collection from now on: a list of (event type, object), in order."""

    def __init__(self, cluster, path):
        version = cluster.api(path)["metadata"]["resourceVersion"]
        self.events = []
        self._connection = cluster.connection()
        self._connection.timeout = 600
        self._connection.request("GET", f"{path}?watch=1&resourceVersion={version}&timeoutSeconds=590")
        self._answer = self._connection.getresponse()
        self._socket = self._connection.sock or self._answer.fp.raw._sock
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        try:
            for line in self._answer:
                event = json.loads(line)
                self.events.append((event["type"], event["object"]))
        except (OSError, ValueError, AttributeError, http.client.HTTPException):
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._thread.join(10)
        self._connection.close()

    def first(self, name, accept, start=0):
        """Position of the first event of that object for which `accept(type, object)` is true; fails if there is none."""
        for i, (kind, thing) in enumerate(self.events[start:], start):
            if thing["metadata"]["name"] == name and accept(kind, thing):
                return i
        raise Failed(f"no such event of {name} among {[(t, o['metadata']['name']) for t, o in self.events]}")

    def created(self, name):
        return self.first(name, lambda kind, _: kind == "ADDED")

    def ready(self, name):
        return self.first(name, lambda _, pod: is_ready(pod))

    def terminating(self, name):
        return self.first(name, lambda _, pod: "deletionTimestamp" in pod["metadata"])

    def deleted(self, name):
        return self.first(name, lambda kind, _: kind == "DELETED")


class Background:
    """A command that runs in the background; `text()` is its output so far."""

    def __init__(self, argv, env, stdin=None):
        self._file = tempfile.TemporaryFile("w+")
        self.argv = argv
        self._process = subprocess.Popen(argv, env=env, stdin=stdin or subprocess.DEVNULL, stdout=self._file,
                                         stderr=subprocess.STDOUT)

    def text(self):
        size = os.fstat(self._file.fileno()).st_size
        return os.pread(self._file.fileno(), size, 0).decode(errors="replace")

    def wait_text(self, pattern, timeout=30):
        try:
            return wait_for(f"/{pattern}/ from {self.argv[1:]}", lambda: re.search(pattern, self.text(), re.M), timeout)
        except Failed as problem:
            raise Failed(f"{problem}\n{self.text()}") from None

    def wait(self, timeout=60):
        return self._process.wait(PATIENCE * timeout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._file.close()


class Terminal:
    """A command on a pseudo-terminal: send() types, expect() reads until a pattern matches. Escape sequences are removed."""
    # A carriage return without a line feed only moves the cursor.
    _CONTROLS = re.compile(r"\x1b(\[[0-9;?]*[a-zA-Z]|\([A-Z0-9]|[=>])|\r(?!\n)")
    _UNFINISHED = re.compile(r"(\x1b(\[[0-9;?]*|\()?|\r)\Z")

    def __init__(self, argv, env, rows=40, cols=120):
        self._master, slave = pty.openpty()
        self.resize(rows, cols)
        self._process = subprocess.Popen(argv, env={**env, "TERM": "dumb"}, stdin=slave, stdout=slave, stderr=slave,
                                         start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._unread = ""  # an incomplete escape sequence at the end of the output
        self.seen = ""   # all output so far
        self._mark = 0   # position up to which expect() has matched

    def resize(self, rows, cols):
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def send(self, text):
        os.write(self._master, text.encode())

    def _take(self, data):
        text = self._unread + self._decoder.decode(data)
        unfinished = self._UNFINISHED.search(text)
        whole = text[:unfinished.start()] if unfinished else text
        self._unread = text[len(whole):]
        self.seen += self._CONTROLS.sub("", whole)

    def expect(self, pattern, timeout=30):
        end = time.monotonic() + PATIENCE * timeout
        while True:
            found = re.search(pattern, self.seen[self._mark:], re.M)
            if found:
                self._mark += found.end()
                return found
            left = end - time.monotonic()
            readable = left > 0 and select.select([self._master], [], [], left)[0]
            try:
                data = os.read(self._master, 65536) if readable else b""
            except OSError:
                data = b""
            if not data:
                raise Failed(f"no /{pattern}/ on the terminal; it shows:\n{self.seen[self._mark:]}")
            self._take(data)

    def wait(self, timeout=30):
        """Waits for the end, reading the remaining output; returns the exit code."""
        end = time.monotonic() + PATIENCE * timeout
        while self._process.poll() is None and time.monotonic() < end:
            try:
                if select.select([self._master], [], [], 0.05)[0]:
                    self._take(os.read(self._master, 65536))
            except OSError:
                pass
        return self._process.wait(max(0.1, end - time.monotonic()))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._master)
