"""Sends requests recorded from a real Kubernetes 1.36.2 to another API server, and compares the responses.

The recordings are in tests/data/recorded-1.36 (its README describes the rows). Each function returns a list of Difference for one
recording and the number of rows that were compared; rows of kinds that the server does not serve are left out.
"""
import base64
import collections
import copy
import dataclasses
import gzip
import http.client
import json
import os
import pathlib
import queue
import re
import ssl
import tempfile
import threading
import time

import yaml

DATA = pathlib.Path(__file__).resolve().parent.parent / "data" / "recorded-1.36"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
# Metadata that differs between runs.
VOLATILE = ("uid", "creationTimestamp", "resourceVersion", "managedFields", "selfLink")
# Kinds whose conditions contain times of the run.
WITH_CONDITIONS = {"CustomResourceDefinition", "APIService", "PodDisruptionBudget", "ValidatingAdmissionPolicy",
                   "CertificateSigningRequest", "StatefulSet", "Job", "Node", "FlowSchema"}
HEADERS = ("Content-Type", "Warning", "Cache-Control")
RECORDED_HOST = "10.201.0.1:21320"  # of the recorded server itself


@dataclasses.dataclass
class Difference:
    """One row that came out differently. `row` is the request's name; `what` is the kind of difference."""
    recording: str
    kind: str
    row: str
    what: str
    recorded: object
    got: object


class Connection:
    """One kept-alive connection to the server of a kubeconfig; `who`: "admin", or "anonymous" (no certificate)."""

    def __init__(self, kubeconfig, who="admin"):
        config = yaml.safe_load(pathlib.Path(kubeconfig).read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.host = cluster["server"].split("://")[1].rstrip("/")
        self.context = ssl.create_default_context(cafile=self._file(kubeconfig, cluster, "certificate-authority"))
        self.context.check_hostname = False
        if who == "admin":
            self.context.load_cert_chain(self._file(kubeconfig, user, "client-certificate"), self._file(kubeconfig, user, "client-key"))
        self.connection = None

    @staticmethod
    def _file(kubeconfig, section, key):
        if key in section:
            return os.path.join(os.path.dirname(kubeconfig), section[key])
        with tempfile.NamedTemporaryFile(delete=False) as file:
            file.write(base64.b64decode(section[key + "-data"]))
        return file.name

    def send(self, method, path, body=None, content_type="application/json", accept="application/json", headers=None):
        """Returns (code, text, {header: [values]}); retries once on a new connection."""
        sent = {"User-Agent": "recorder"}
        if accept:
            sent["Accept"] = accept
        if body is not None and content_type:
            sent["Content-Type"] = content_type
        sent.update(headers or {})
        data = body if isinstance(body, (bytes, str, type(None))) else json.dumps(body)
        data = data.encode() if isinstance(data, str) else data
        for last in (False, True):
            try:
                if self.connection is None:
                    self.connection = http.client.HTTPSConnection(self.host, context=self.context, timeout=60)
                self.connection.request(method, path, data, sent)
                answer = self.connection.getresponse()
                text = answer.read()
                found = collections.defaultdict(list)
                for name, value in answer.getheaders():
                    found[name.title()].append(value)
                return answer.status, text, found
            except (http.client.HTTPException, OSError):
                self.connection = None
                if last:
                    raise

    def json(self, method, path, body=None):
        code, text, headers = self.send(method, path, body)
        try:
            return code, json.loads(text), headers
        except ValueError:
            return code, text.decode(errors="replace"), headers


def rows_of(name):
    with gzip.open(DATA / f"{name}.jsonl.gz", "rt") as file:
        return [json.loads(line) for line in file]


def bases_of(name):
    with gzip.open(DATA / f"{name}-bases.json.gz", "rt") as file:
        return json.load(file)


def change(thing, path, value, operation):
    """Sets (or with `unset` removes) the value at `path`; creates missing parents."""
    if operation == "base":
        return
    if operation == "unset":
        for key in path[:-1]:
            thing = thing[key]
        thing.pop(path[-1], None)
        return
    for key, following in zip(path, path[1:]):
        if isinstance(key, int):
            while len(thing) <= key:
                thing.append({})
        elif key not in thing or not isinstance(thing[key], (dict, list)):
            thing[key] = [] if isinstance(following, int) else {}
        thing = thing[key]
    thing[path[-1]] = copy.deepcopy(value)


def scrub(text):
    """Masks random names, uids and memory addresses in a text."""
    text = re.sub(r"kube-api-access-[a-z0-9]{5}", "kube-api-access-*", text)
    return re.sub(r"0x[0-9a-f]{6,}", "0x*", UUID.sub("*", text))


def part(thing, key):
    value = thing.get(key) if isinstance(thing, dict) else None
    return value if isinstance(value, dict) else {}


def hide_given(spec, sent):
    """Replaces addresses and ports that the server chose, rather than the client, by `*`."""
    if spec.get("clusterIP") not in (None, "", "None") and sent.get("clusterIP") != spec.get("clusterIP"):
        spec["clusterIP"] = "*"
    if spec.get("clusterIPs") and spec["clusterIPs"] != ["None"] and sent.get("clusterIPs") != spec["clusterIPs"]:
        spec["clusterIPs"] = ["*"] * len(spec["clusterIPs"])
    if spec.get("healthCheckNodePort") and sent.get("healthCheckNodePort") != spec["healthCheckNodePort"]:
        spec["healthCheckNodePort"] = "*"
    asked = sent.get("ports")
    for index, port in enumerate(spec.get("ports") or []):
        given = asked[index] if isinstance(asked, list) and index < len(asked) and isinstance(asked[index], dict) else {}
        if port.get("nodePort") and given.get("nodePort") != port["nodePort"]:
            port["nodePort"] = "*"


def normal(answer, sent):
    """The response to a create without values that differ between runs."""
    answer = copy.deepcopy(answer)
    metadata = part(answer, "metadata")
    for key in VOLATILE:
        metadata.pop(key, None)
    if answer.get("kind") == "Service":
        hide_given(answer.get("spec", {}), part(sent, "spec"))
    generated = None
    if metadata.get("generateName") and not part(sent, "metadata").get("name"):
        generated, metadata["name"] = metadata.get("name"), metadata["generateName"] + "*"
    text = json.dumps(answer, sort_keys=True)
    if generated:
        text = text.replace(generated, metadata["name"])
    text = re.sub(r"kube-api-access-[a-z0-9]{5}", "kube-api-access-*", text)
    text = TOKEN.sub("*", re.sub(r"X509SHA256=[0-9a-f]+", "X509SHA256=*", UUID.sub("*", text)))
    if answer.get("kind") == "TokenRequest":
        text = re.sub(r'"expirationTimestamp": "[^"]*"', '"expirationTimestamp": "*"', text)
    if answer.get("kind") in WITH_CONDITIONS:
        text = re.sub(r'"lastTransitionTime": "[^"]*"', '"lastTransitionTime": "*"', text)
    now = time.strftime("%Y-%m")
    text = re.sub(rf'"(?:2026-1[12]|{now})-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"', '"*"', text)
    return json.loads(text)


def warnings_of(headers):
    found = []
    for header in headers.get("Warning", []):
        match = re.match(r'299 \S+ "((?:[^"\\]|\\.)*)"', header)
        found.append(match.group(1).replace('\\"', '"').replace("\\\\", "\\") if match else header)
    return sorted(found)


def refusal_difference(row, answer):
    """Compares two refusals with the same code: None, or the kind of difference. Upstream lists some causes twice."""
    details = answer.get("details") or {} if isinstance(answer, dict) else {}
    causes = {(c.get("field", ""), c.get("reason", ""), scrub(c.get("message", ""))) for c in details.get("causes") or []}
    recorded = {tuple(cause) for cause in row.get("causes", [])}
    if part({"a": answer}, "a").get("reason") != row.get("reason"):
        return "reason"
    if {cause[:2] for cause in causes} != {cause[:2] for cause in recorded}:
        return "causes"
    if causes != recorded:
        return "cause text"
    message = scrub(answer.get("message", "")) if isinstance(answer, dict) else answer
    return "message" if not causes and message != row.get("message", "") else None


def code_difference(row, code):
    if (code < 300) != (row["code"] < 300):
        return "wrongly accepted" if code < 300 else "wrongly refused"
    return "code" if code != row["code"] else None


def answer_of(row):
    """The recorded response as text for the report."""
    return {key: row[key] for key in ("code", "reason", "message", "causes", "warnings", "object", "diff") if key in row}


def name_of(row):
    steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in row["set"]).lstrip(".")
    to = "taken away" if row.get("op") == "unset" else json.dumps(row.get("to"), sort_keys=True)
    return f"{row['base']}{'/' + row['sub'] if row.get('sub') else ''} {steps} = {to}"


def in_threads(kubeconfig, rows, compare, threads=3):
    """Calls compare(connection, row) for every row, on a few connections; returns the Differences."""
    waiting = queue.SimpleQueue()
    for row in rows:
        waiting.put(row)
    found = []

    def work():
        connection = Connection(kubeconfig)
        while True:
            try:
                row = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                difference = compare(connection, row)
            except Exception as error:  # noqa: BLE001: any failure is reported for its row
                difference = Difference("", "", name_of(row), "error", answer_of(row), repr(error))
            if difference:
                found.append(difference)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sorted(found, key=lambda d: (d.kind, d.row))


def take_classes_away(admin):
    """Deletes the default StorageClass: the recorded cluster had none."""
    classes = "/apis/storage.k8s.io/v1/storageclasses"
    for item in admin.json("GET", classes)[1].get("items", []):
        admin.json("DELETE", f"{classes}/{item['metadata']['name']}")


def replay_requests(kubeconfig):
    """Replays creates: dry runs, each with one changed field."""
    bases = bases_of("requests")
    admin = Connection(kubeconfig)
    served = {name for name, base in bases.items() if admin.json("GET", base["path"].replace("/token", ""))[0] != 404}
    rows = [row for row in rows_of("requests") if row["base"] in served]
    take_classes_away(admin)

    def compare(connection, row):
        base = bases[row["base"]]
        sent = copy.deepcopy(base["object"])
        change(sent, row["set"], row.get("to"), row.get("op", "set"))
        code, answer, headers = connection.json("POST", base["path"] + "?dryRun=All", sent)
        what, got = code_difference(row, code), answer
        if not what and not row.get("varies"):
            if code < 300:
                expected = row.get("object")
                if expected is None:
                    expected = copy.deepcopy(base["answer"])
                    change(expected, row["set"], row.get("to"), row.get("op", "set"))
                got = normal(answer, sent)
                if got != expected:
                    what, row = "object", dict(row, object=expected)
                elif warnings_of(headers) != sorted(row.get("warnings", [])):
                    what, got = "warnings", warnings_of(headers)
            else:
                what = refusal_difference(row, answer)
        return Difference("requests", base["object"]["kind"], name_of(row), what, answer_of(row), got) if what else None

    return in_threads(kubeconfig, rows, compare), len(rows)


def without_versions(thing):
    thing = copy.deepcopy(thing)
    for key in ("resourceVersion", "managedFields"):
        part(thing, "metadata").pop(key, None)
    return thing


def changes(before, after, path=()):
    """Returns [[path, new value]] of every difference; [[path]] of removed values."""
    if isinstance(before, dict) and isinstance(after, dict):
        found = []
        for key in sorted(set(before) | set(after)):
            if key not in after:
                found.append([[*path, key]])
            elif key not in before:
                found.append([[*path, key], after[key]])
            else:
                found += changes(before[key], after[key], (*path, key))
        return found
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [c for i, (x, y) in enumerate(zip(before, after)) for c in changes(x, y, (*path, i))]
    return [] if before == after else [[list(path), after]]


def make_bases(admin, bases):
    """Creates the objects that the recorded updates change; returns the names of those that the server serves."""
    admin.json("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "quota"}})
    take_classes_away(admin)
    made = set()
    for name, base in bases.items():
        url = f"{base['path']}/{base['name']}"
        if admin.json("GET", url)[0] == 404 and admin.json("POST", base["path"], base["create"])[0] >= 300:
            continue
        if base.get("then"):
            admin.json("POST", url + "/binding", {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": base["name"]},
                                                  "target": {"kind": "Node", "name": "n1"}})
        for _ in range(5):
            if not base.get("status"):
                break
            stored = admin.json("GET", url)[1]
            stored["status"] = base["status"]
            if admin.json("PUT", url + "/status", stored)[0] != 409:
                break
        made.add(name)
    return made


def replay_updates(kubeconfig):
    """Replays updates: dry runs on stored objects, each with one changed field."""
    bases = bases_of("updates")
    made = make_bases(Connection(kubeconfig), bases)
    rows = [row for row in rows_of("updates") if row["base"] in made]

    def timeless(thing):
        return json.loads(re.sub(r'"20\d\d-[01]\d-\d\dT[^"]*"', '"*"', UUID.sub("*", json.dumps(thing))))

    def compare(connection, row):
        base, sub = bases[row["base"]], row.get("sub", "")
        item = f"{base['path']}/{base['name']}"
        url = f"{item}/{sub}" if sub else item

        def differs(what, got):
            return Difference("updates", base["create"]["kind"], name_of(row), what, answer_of(row), got)

        for _ in range(6):
            code, stored, _headers = connection.json("GET", url if sub == "scale" else item)
            if code != 200:
                return differs("no object", stored)
            sent = copy.deepcopy(stored)
            sent["metadata"].pop("managedFields", None)
            try:
                change(sent, row["set"], row.get("to"), row.get("op", "set"))
            except (KeyError, IndexError, TypeError):
                return differs("path not there", None)
            code, answer, _headers = connection.json("PUT", url + "?dryRun=All", sent)
            # A controller has changed the object in between.
            if code == 409 and "modified" in str(answer) and row["set"] != ["metadata", "resourceVersion"]:
                continue
            what, got = code_difference(row, code), answer
            if not what and not row.get("varies"):
                if code < 300:
                    got = timeless(changes(without_versions(stored), without_versions(answer)))
                    what = "object" if got != timeless(row.get("diff")) else None
                else:
                    what = refusal_difference(row, answer)
            return differs(what, got) if what else None
        return differs("conflict", None)

    return in_threads(kubeconfig, rows, compare), len(rows)


# Values that depend on the server's build and its token signing key. A real API server built elsewhere, or with an EC key, has
# other values too; only their presence and form are compared.
OWN_VALUES = {"gitVersion": (re.compile(r"(v\d+\.\d+)\.\d+([-+][-+.0-9A-Za-z]+)?"), r"\1.*"),
              "gitCommit": (re.compile(r"[0-9a-f]{40}|"), "*"),  # none where there was no repository to build from
              "compiler": (re.compile(r"\w+"), "*"),
              "goVersion": (re.compile(r"go\d+(\.\d+)+|none"), "*")}
SIGNING = "id_token_signing_alg_values_supported"
ALGORITHM = re.compile(r"(RS|ES|PS)(256|384|512)|EdDSA")


def without_own_values(thing):
    """A version, or the OpenID configuration of tokens, without values that depend on the build or key."""
    thing = dict(thing)
    for key, (form, shown) in OWN_VALUES.items():
        if "gitVersion" in thing and isinstance(thing.get(key), str) and form.fullmatch(thing[key]):
            thing[key] = form.sub(shown, thing[key], count=1)
    if isinstance(thing.get(SIGNING), list):
        thing[SIGNING] = ["*" if ALGORITHM.fullmatch(str(name)) else name for name in thing[SIGNING]]
    return thing


def without_own_words(table):
    """A table without the descriptions of its columns and without ages."""
    table = copy.deepcopy(table)
    ages = [i for i, column in enumerate(table["columnDefinitions"] or []) if column["name"] == "Age"]
    for column in table["columnDefinitions"] or []:
        column.pop("description", None)
    for row in table.get("rows") or []:
        for i in ages:
            row["cells"][i] = "*"
    return table


class Protocol:
    """A recorded conversation in which later requests use values of earlier responses (`save`)."""

    def __init__(self, kubeconfig):
        self.connections = {who: Connection(kubeconfig, who) for who in ("admin", "anonymous")}
        self.values = {"ca": "Q0E="}
        self.hosts = {self.connections["admin"].host}
        for subset in self.get("/api/v1/namespaces/default/endpoints/kubernetes").get("subsets") or []:
            self.hosts |= {f"{a['ip']}:{p['port']}" for a in subset["addresses"] for p in subset["ports"]}

    def get(self, path):
        """Returns the object at `path`; {} if there is none."""
        code, answer, _headers = self.connections["admin"].json("GET", path)
        return answer if code == 200 and isinstance(answer, dict) else {}

    def settled(self, path):
        """Returns (the object at `path`, whether its namespace is being deleted), once controllers have finished writing it,
        or after some seconds."""
        deadline, last = time.monotonic() + SETTLES, None
        while True:
            found = self.get(path)
            inside = NAMESPACED.match(path)
            leaving = bool(inside) and "deletionTimestamp" in part(self.get("/api/v1" + inside.group(1)), "metadata")
            watched = found.get("kind") in OBSERVED | {"Scale", "Namespace"}
            done = caught_up(part(found, "status"), found) and (not leaving or "deletionTimestamp" in part(found, "metadata"))
            if not found or done and (not watched or found == last) or time.monotonic() >= deadline:
                return found, leaving
            last = found if done else None
            time.sleep(QUIET if done else 0.01)

    def fill(self, thing):
        if isinstance(thing, str):
            whole = re.fullmatch(r"\$\{(\w+)\}", thing)
            if whole:
                return self.values.get(whole.group(1), thing)
            return re.sub(r"\$\{(\w+)\}", lambda match: str(self.values.get(match.group(1), match.group(0))), thing)
        if isinstance(thing, dict):
            return {key: self.fill(value) for key, value in thing.items()}
        return [self.fill(value) for value in thing] if isinstance(thing, list) else thing

    def save(self, wanted, answer):
        for name, path in wanted.items():
            at = answer
            for step in path.split("."):
                if isinstance(at, list):
                    at = at[int(step)] if step.isdigit() and int(step) < len(at) else None
                else:
                    at = at.get(step) if isinstance(at, dict) else None
            self.values[name] = at

    def scrub(self, thing, key=None, managed=False):
        if isinstance(thing, dict):
            if thing.get("kind") == "Table" and "columnDefinitions" in thing:
                thing = without_own_words(thing)
            thing = without_own_values(thing)
            return {k: self.scrub(v, k, managed) for k, v in thing.items() if managed or k != "managedFields"}
        if isinstance(thing, list):
            return [self.scrub(value, None, managed) for value in thing]
        if not isinstance(thing, str):
            return thing
        if thing and (key in ("resourceVersion", "continue") or key == "uid" and UUID.fullmatch(thing)):
            return "*"
        text = scrub(thing)
        for host in self.hosts:
            text = text.replace(host, RECORDED_HOST)
        text = re.sub(r"(too old resource version:) \d+ \(\d+\)", r"\1 * (*)", text)
        text = re.sub(r'(ReplicaSet "[\w.-]+)-[bcdf-hj-np-tv-xz2-9]{5,10}"', r'\1-*"', text)
        if TIME.fullmatch(text):
            return text if text.startswith(("2000", "2020", "2021", "2030")) else "*"
        text = re.sub(r"X509SHA256=[0-9a-f]+", "X509SHA256=*", TOKEN.sub("*", text))
        for name, value in self.values.items():
            if isinstance(value, str) and len(value) > 7 and value in text:
                text = text.replace(value, "${" + name + "}")
        return text

    @staticmethod
    def parse(text, headers, stream):
        """The body of a response: JSON, a list of JSON lines, or text."""
        if headers.get("Content-Encoding") == ["gzip"]:
            text = gzip.decompress(text)
        if any(kind in (headers.get("Content-Type") or [""])[0] for kind in ("protobuf", "cbor")):
            return None
        try:
            parsed = json.loads(text)
        except ValueError:
            parsed = text.decode(errors="replace")
            if stream or b"\n{" in text:
                try:
                    parsed = [json.loads(line) for line in parsed.splitlines() if line]
                except ValueError:
                    pass
        if stream and isinstance(parsed, dict) and "type" in parsed and "object" in parsed:
            return [parsed]
        return [] if stream and parsed == "" else parsed

    def ask(self, row):
        """Returns (code, headers, comparable response) of one recorded request."""
        stream = isinstance(row.get("response"), list)
        code, text, headers = self.connections[row.get("as", "admin")].send(
            row["method"], self.fill(row["path"]), self.fill(row.get("body")), row.get("content-type"),
            row.get("accept", "application/json"), self.fill(row.get("request-headers") or {}))
        answer = self.parse(text, headers, stream)
        if row.get("save") and isinstance(answer, dict):
            self.save(row["save"], answer)
        answer = self.scrub(answer, managed="managedFields" in json.dumps(row.get("response", "")))
        return code, headers, answer[:3000] + "..." if isinstance(answer, str) and len(answer) > 3000 else answer


def without_managed(thing):
    if isinstance(thing, dict):
        return {k: without_managed(v) for k, v in thing.items() if k not in ("managedFields", "resourceVersion", "uid")}
    return [without_managed(v) for v in thing] if isinstance(thing, list) else thing


def protocol_difference(row, code, headers, answer, recorded):
    recorded_headers = {key.title(): value for key, value in (row.get("headers") or {}).items()}
    if recorded == "(not kept)" or row.get("bytes"):
        answer = recorded
    if code != row.get("code"):
        return "code"
    if row.get("varies"):
        return None
    for name in HEADERS:
        got = headers.get(name, [])
        if (recorded_headers.get(name) or "") != ((got[0] if len(got) == 1 else got) or ""):
            return name.lower().replace("-", " ")
    # The hash of a document that depends on the server does too.
    if ("Etag" in recorded_headers) != ("Etag" in headers):
        return "etag"
    if isinstance(recorded, dict) and isinstance(answer, dict) and recorded.get("kind") == "Status":
        if (recorded.get("reason"), recorded.get("message")) != (answer.get("reason"), answer.get("message")):
            return "status text"
    if recorded == answer:
        return None
    return "managed fields only" if without_managed(recorded) == without_managed(answer) else "body"


# Controllers write asynchronously. In the recording they often had not processed an object when the next request was sent, and that
# timing cannot be reproduced. So: wait until Berth's controllers have processed the object, then send. Where the recorded response
# shows that the recorded controllers had not, the fields they write are expected to be as just before the request (which may not
# change them), and all others as recorded.
OBSERVED = {"Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "ReplicationController", "PodDisruptionBudget",
            "HorizontalPodAutoscaler"}
QUIET = 0.1  # a controller that has more to write about an object does so within these seconds
CONTROLLERS = "kube-controller-manager"
REVISION = "deployment.kubernetes.io/revision"
NAMESPACED = re.compile(r"/apis?/.*?v\d\w*(/namespaces/[^/]+)/")


def caught_up(status, before):
    """True if the controllers that wrote `status` had seen the object `before`."""
    if before.get("kind") == "Scale":
        return status.get("replicas", 0) == part(before, "spec").get("replicas", 0)
    if before.get("kind") == "Namespace":
        return "deletionTimestamp" not in before["metadata"] or "conditions" in status
    return before.get("kind") not in OBSERVED or status.get("observedGeneration", 0) >= before["metadata"]["generation"]


def unless_asked(recorded, before, asked):
    """`before`, but as `recorded` where the request `asked` for a change; conditions are matched by type."""
    if asked is None:
        return before
    if isinstance(asked, dict) and isinstance(before, dict) and isinstance(recorded, dict):
        return {key: unless_asked(recorded.get(key), before.get(key), asked.get(key)) for key in {**before, **asked}}
    if isinstance(asked, list) and isinstance(before, list) and isinstance(recorded, list):
        types = {condition.get("type") for condition in asked}
        return ([condition for condition in before if condition["type"] not in types]
                + [condition for condition in recorded if condition["type"] in types])
    return recorded


def as_far(recorded, before, terminating, asked):
    """The response that would have been recorded if the recorded controllers had progressed as far as Berth's."""
    expected, asked = copy.deepcopy(recorded), asked if isinstance(asked, dict) else {}
    metadata = part(expected, "metadata")
    if not caught_up(part(recorded, "status"), before):
        expected["status"] = unless_asked(part(recorded, "status"), part(before, "status"), part(asked, "status") or None)
        revision = part(part(before, "metadata"), "annotations").get(REVISION)
        if revision and not part(asked, "metadata").get("annotations"):
            metadata.setdefault("annotations", {})[REVISION] = revision
        if "managedFields" in metadata and CONTROLLERS not in {entry["manager"] for entry in metadata["managedFields"]}:
            metadata["managedFields"] += [entry for entry in before["metadata"].get("managedFields", []) if entry["manager"] == CONTROLLERS]
    if terminating and "deletionTimestamp" not in metadata:
        deleted = ("deletionTimestamp", "deletionGracePeriodSeconds")
        metadata.update({key: before["metadata"][key] for key in deleted if key in before["metadata"]})
    return expected


HISTORY = 20_000  # number of events that Berth keeps


def forget_history(kubeconfig):
    """Makes as many writes as the watch history holds, so that it forgets everything before."""
    def write(number):
        connection = Connection(kubeconfig)
        path = f"/api/v1/namespaces/default/configmaps/forget-{number}"
        connection.json("POST", path.rpartition("/")[0], {"metadata": {"name": f"forget-{number}"}})
        for i in range(HISTORY // 4 + 1):
            connection.send("PATCH", path, json.dumps({"data": {"i": str(i)}}), "application/merge-patch+json")
        connection.json("DELETE", path)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()


# Rows that show a controller's work: repeated until the response is as recorded, for so many seconds.
SETTLES = 5
LATER = ("after", "pdb status", "evict against", "evict with", "TokenReview of a deleted", "quota status", "quota: no",
         "limit range default", "claim with")


def ask_and_compare(protocol, row):
    """Returns (difference, code, response, expected response) of one recorded request; repeats only requests without effects."""
    deadline = time.monotonic() + (SETTLES if row["case"].startswith(LATER) else 0)
    recorded = protocol.scrub(row.get("response"), managed=True)
    path = protocol.fill(row["path"]).partition("?")[0]
    whole_status = row["method"] == "PUT" and path.endswith("/status")  # the request contains the whole status
    changes_object = row["method"] in ("PUT", "PATCH", "DELETE") and isinstance(recorded, dict) and recorded.get("kind") not in (None, "Status")
    if changes_object and not whole_status:
        before, terminating = protocol.settled(path)
        if before:
            recorded = as_far(recorded, protocol.scrub(before, managed=True), terminating, row.get("body"))
    while True:
        code, headers, answer = protocol.ask(row)
        what = protocol_difference(row, code, headers, answer, recorded)
        repeatable = row["method"] == "GET" or code >= 400
        if not what or not repeatable or time.monotonic() >= deadline:
            return what, code, answer, recorded
        time.sleep(0.1)


def replay_protocol(kubeconfig):
    """Replays the conversation about the protocol: paths, methods, bodies, lists, watches, patches, authorization."""
    protocol = Protocol(kubeconfig)
    found, compared = [], 0
    for row in sorted(rows_of("protocol"), key=lambda row: row["n"]):
        if "compacted, and the server started again, here" in row["case"]:
            forget_history(kubeconfig)
        # Skip a watch without end, bodies that were not recorded, and notes about actions on the recorded server.
        if "method" not in row or row["case"] == "watch=bogus" or row.get("body") == "(large)":
            continue
        compared += 1
        try:
            what, code, answer, expected = ask_and_compare(protocol, row)
        except (http.client.HTTPException, OSError) as error:
            what, code, answer, expected = "error", None, repr(error), row.get("response")
        if what:
            got = {"code": code, "response": answer}
            recorded = {"code": row.get("code"), "headers": row.get("headers"), "response": expected}
            found.append(Difference("protocol", "protocol", f"{row['n']} {row['case']}: {row['method']} {row['path']}", what, recorded, got))
    return found, compared


RECORDINGS = {"requests": replay_requests, "updates": replay_updates, "protocol": replay_protocol}
