"""One primary and its replicas: clone, replicate, fail, scale up and down, clean up (scenarios 003.1 to 003.11, except for traffic
through a ClusterIP). The tests build on each other, on their own cluster: at the end its node must be as before."""
import pathlib
import re

import pytest

import lab
from lab import columns, wait_for

CONFIG = """
apiVersion: v1
kind: ConfigMap
metadata:
  name: mysql-config
  labels:
    app: mysql
data:
  master.cnf: |
    # Apply this config only on the master.
    [mysqld]
    log-bin
  slave.cnf: |
    # Apply this config only on slaves.
    [mysqld]
    read-only
"""

SERVICES = """
# Headless service for stable DNS entries of StatefulSet members.
apiVersion: v1
kind: Service
metadata:
  name: mysql
  labels:
    app: mysql
spec:
  ports:
  - name: mysql
    port: 3306
  clusterIP: None
  selector:
    app: mysql
---
# Client service for connecting to any MySQL instance for reads.
# For writes, you must instead connect to the master: mysql-0.mysql.
apiVersion: v1
kind: Service
metadata:
  name: mysql-read
  labels:
    app: mysql
spec:
  ports:
  - name: mysql
    port: 3306
  selector:
    app: mysql
"""

SET = """
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: mysql
spec:
  selector:
    matchLabels:
      app: mysql
  serviceName: mysql
  replicas: 3
  template:
    metadata:
      labels:
        app: mysql
    spec:
      terminationGracePeriodSeconds: 10
      initContainers:
      - name: init-mysql
        image: IMAGE
        command:
        - bash
        - -c
        - |
          set -ex
          # The server's identity is the pod's ordinal; zero is not allowed.
          ordinal=${HOSTNAME##*-}
          printf '[mysqld]\\nserver-id=%d\\n' $((100 + ordinal)) > /mnt/conf.d/server-id.cnf
          if [ "$ordinal" = 0 ]; then role=master; else role=slave; fi
          cp /mnt/config-map/$role.cnf /mnt/conf.d/
        volumeMounts:
        - name: conf
          mountPath: /mnt/conf.d
        - name: config-map
          mountPath: /mnt/config-map
      - name: clone-mysql
        image: IMAGE
        command:
        - bash
        - -c
        - |
          set -ex -o pipefail
          ordinal=${HOSTNAME##*-}
          if [ "$ordinal" = 0 ] || [ -d /var/lib/mysql/mysql ]; then echo keeping the data; exit; fi
          until ncat --recv-only mysql-$((ordinal - 1)).mysql 3307 </dev/null | mbstream -x -C /var/lib/mysql &&
            [ -e /var/lib/mysql/xtrabackup_info ]
          do
            sleep 0.2
          done
          mariabackup --prepare --use-memory=16M --target-dir=/var/lib/mysql
          echo cloned the data
        volumeMounts:
        - name: data
          mountPath: /var/lib/mysql
          subPath: mysql
        - name: conf
          mountPath: /etc/mysql/conf.d
      containers:
      - name: mysql
        image: IMAGE
        ports:
        - name: mysql
          containerPort: 3306
        volumeMounts:
        - name: data
          mountPath: /var/lib/mysql
          subPath: mysql
        - name: conf
          mountPath: /etc/mysql/conf.d
        resources:
          requests:
            cpu: 50m
            memory: 64Mi
        livenessProbe:
          exec:
            command: ["mysqladmin", "ping"]
          initialDelaySeconds: 30
          periodSeconds: 10
          timeoutSeconds: 5
        readinessProbe:
          exec:
            # Not by the socket: it must answer on the network.
            command: ["mysql", "-h", "127.0.0.1", "-e", "SELECT 1"]
          initialDelaySeconds: 1
          periodSeconds: 1
          timeoutSeconds: 5
      - name: xtrabackup
        image: IMAGE
        ports:
        - name: xtrabackup
          containerPort: 3307
        command:
        - bash
        - -c
        - |
          set -ex
          trap 'kill $(jobs -p); exit' TERM
          cd /var/lib/mysql
          # Where replication goes on: what a replica left with its copy, or where the master was when it was copied.
          if [ -s xtrabackup_slave_info ]; then
            sed 's/;$//' xtrabackup_slave_info > change_master_to.sql.in
          elif [ -s xtrabackup_binlog_info ]; then
            read -r file position rest < xtrabackup_binlog_info
            echo "CHANGE MASTER TO MASTER_LOG_FILE='$file', MASTER_LOG_POS=$position" > change_master_to.sql.in
          fi
          rm -f xtrabackup_slave_info xtrabackup_binlog_info
          if [ -f change_master_to.sql.in ]; then
            until mysql -h 127.0.0.1 -e "SELECT 1"; do sleep 0.2; done
            mysql -h 127.0.0.1 -e "$(<change_master_to.sql.in), MASTER_HOST='mysql-0.mysql', MASTER_USER='root',
              MASTER_PASSWORD='', MASTER_CONNECT_RETRY=1; START SLAVE"
            mv change_master_to.sql.in change_master_to.sql.orig
          fi
          ncat --listen --keep-open --send-only --max-conns=1 3307 -c \\
            "mariabackup --backup --slave-info --stream=xbstream --host=127.0.0.1 --user=root" &
          wait
        volumeMounts:
        - name: data
          mountPath: /var/lib/mysql
          subPath: mysql
        - name: conf
          mountPath: /etc/mysql/conf.d
      volumes:
      - name: conf
        emptyDir: {}
      - name: config-map
        configMap:
          name: mysql-config
  volumeClaimTemplates:
  - metadata:
      name: data
      labels:
        app: mysql
    spec:
      accessModes: ["ReadWriteOnce"]
      resources:
        requests:
          storage: 1Gi
""".replace("IMAGE", lab.REPLICA)

MEMBERS = ["mysql-0", "mysql-1", "mysql-2"]
GREETING = "hello, from mysql-client"
SINCE = {name: f"since then, by {name}" for name in sorted(lab.kubectls())}  # the row written after a replica came back
# The states of a new replica in `get pods --watch`, in order.
PHASES = [("0/2", "Pending"), ("0/2", "Init:0/2"), ("0/2", "Init:1/2"), ("0/2", "PodInitializing"), ("1/2", "Running"), ("2/2", "Running")]


@pytest.fixture(scope="module")
def k(own_cluster):
    own_cluster.up()
    own_cluster.image(lab.REPLICA)
    session = lab.Session(own_cluster, namespace="default")
    session.node_before = own_cluster.node()
    yield session
    session.close_home()


@pytest.fixture(params=sorted(lab.kubectls()))
def client(request, k):
    """The namespace with each kubectl."""
    session = lab.Session(k.cluster, lab.kubectls()[request.param], namespace="default")
    session.since = SINCE[request.param]
    yield session
    session.close_home()


@pytest.fixture
def old(k):
    """The namespace with the oldest kubectl, while the newest is used too."""
    session = lab.Session(k.cluster, lab.kubectls()["1.20"], namespace="default")
    yield session
    session.close_home()


def create(k, text):
    path = pathlib.Path(k.home, "mysql.yaml")
    path.write_text(text)
    return k.out("create", "-f", str(path))


def phases(listing, name):
    """READY and STATUS of a new replica in the listing, without repetitions."""
    seen = []
    for row in columns(listing.text()):
        change = tuple(row[1:3])
        if row[0] == name and change in PHASES and change not in seen[-1:]:
            seen.append(change)
    return seen


def wait_phases(listing, *names):
    listing.wait_text(rf"^{names[-1]} +2/2 ")
    for name in names:
        assert phases(listing, name)[-len(PHASES):] == PHASES, listing.text()
    assert "<invalid>" not in listing.text()


def nothing_restarted(k):
    """Fails if a container restarted, with its previous output."""
    for member in MEMBERS:
        for container in k.pod(member)["status"]["containerStatuses"]:
            if container["restartCount"]:
                pytest.fail(f"{member} {container}\n" + k.out("logs", member, "-c", container["name"], "--previous"))


def in_turn(watch, *names):
    for earlier, later in zip(names, names[1:]):
        assert watch.ready(earlier) < watch.created(later)


def sql(k, statement, member="mysql-0"):
    """Reads through the DNS name of the replica, from a separate pod."""
    return k.out("run", "mysql-client", f"--image={lab.REPLICA}", "-i", "--rm", "--quiet", "--restart=Never", "--",
                 "mysql", "-h", f"{member}.mysql", "-Ne", statement)


def wait_rows(k, member, *messages):
    """Waits for the rows: replication is asynchronous."""
    number = 100 + int(member.removeprefix("mysql-"))
    want = [f"{number}\t{message}" for message in messages]
    wait_for(f"{member} to have {want}",
             lambda: sql(k, "SELECT @@server_id, message FROM test.messages ORDER BY 2", member).splitlines()[:len(want)] == want)


def volume_of(k, member):
    claim = k.get("persistentvolumeclaims", f"data-{member}")
    return claim["metadata"]["uid"], claim["spec"]["volumeName"]


def test_003_1_each_clones_the_one_before(k, old):
    assert create(k, CONFIG) == "configmap/mysql-config created\n"
    assert create(k, SERVICES) == "service/mysql created\nservice/mysql-read created\n"
    assert [row[:5] for row in columns(k.out("get", "services", "-l", "app=mysql"))[1:]] == [
        ["mysql", "ClusterIP", "None", "<none>", "3306/TCP"],
        ["mysql-read", "ClusterIP", k.get("services", "mysql-read")["spec"]["clusterIP"], "<none>", "3306/TCP"]]
    show = ("get", "pods", "-l", "app=mysql")
    with k.listing(*show) as new_listing, old.listing(*show) as old_listing, k.listing("get", "statefulset") as sets, k.watch() as watch:
        assert create(k, SET) == "statefulset.apps/mysql created\n"
        k.wait_ready(*MEMBERS)
        sets.wait_text(r"^mysql +0/3[\s\S]*^mysql +1/3[\s\S]*^mysql +2/3[\s\S]*^mysql +3/3")
        for listing in (new_listing, old_listing):
            wait_phases(listing, *MEMBERS)
        wait_for("the watch to see it", lambda: watch.ready("mysql-2"))
        in_turn(watch, *MEMBERS)
    assert "keeping the data" in k.out("logs", "mysql-0", "-c", "clone-mysql")
    for m in MEMBERS[1:]:
        assert "cloned the data" in k.out("logs", m, "-c", "clone-mysql")
    nothing_restarted(k)


def test_003_2_standard_input_reaches_the_client(client):
    text = f"""
CREATE DATABASE IF NOT EXISTS test;
CREATE TABLE IF NOT EXISTS test.messages (message VARCHAR(250));
TRUNCATE test.messages;
INSERT INTO test.messages VALUES ('{GREETING}');
SELECT @@server_id, message FROM test.messages;
"""
    done = client.k("run", "mysql-client", f"--image={lab.REPLICA}", "-i", "--rm", "--restart=Never", "--",
                    "mysql", "-h", "mysql-0.mysql", stdin=text)
    assert f"@@server_id\tmessage\n100\t{GREETING}\n" in done.stdout
    assert re.search(r'^pod "mysql-client" deleted', done.stdout, re.M)
    assert "mysql-client" not in client.names("pods")


def test_003_3_the_row_is_on_each_member(client):
    for m in MEMBERS:
        wait_rows(client, m, GREETING)
    with client.terminal("run", "mysql-client", f"--image={lab.REPLICA}", "-it", "--rm", "--restart=Never", "--",
                         "mysql", "-h", "mysql-1.mysql", "-e", "SELECT * FROM test.messages") as terminal:
        terminal.expect(rf"^\+-+\+\s+\| message +\|\s+\+-+\+\s+\| {GREETING} \|\s+\+-+\+")
        terminal.expect('pod "mysql-client" deleted')
        assert terminal.wait() == 0


def addresses(k, service):
    return {a["ip"] for subset in k.get("endpoints", service).get("subsets", []) for a in subset.get("addresses", [])}


def test_003_5_who_is_not_ready_is_not_read_from(client):
    """Which addresses the headless Service's name resolves to, and which pods are endpoints of mysql-read."""
    k = client
    ill, everybody = k.pod("mysql-2")["status"]["podIP"], {k.pod(m)["status"]["podIP"] for m in MEMBERS}

    def resolved():
        return {line.split()[0] for line in k.exec("mysql-0", "getent ahostsv4 mysql", container="mysql").splitlines()}
    k.k("exec", "mysql-2", "-c", "mysql", "--", "mv", "/usr/bin/mysql", "/usr/bin/mysql.off")
    wait_for("1/2", lambda: columns(k.out("get", "pod", "mysql-2"))[1][:4] == ["mysql-2", "1/2", "Running", "0"])
    wait_for("two names", lambda: addresses(k, "mysql-read") == resolved() == everybody - {ill})
    k.k("exec", "mysql-2", "-c", "mysql", "--", "mv", "/usr/bin/mysql.off", "/usr/bin/mysql")
    wait_for("2/2", lambda: columns(k.out("get", "pod", "mysql-2"))[1][:4] == ["mysql-2", "2/2", "Running", "0"])
    wait_for("three names", lambda: addresses(k, "mysql-read") == resolved() == everybody)


def test_003_6_a_replica_comes_back_to_its_data(client):
    k = client
    before, volume = k.pod("mysql-2")["metadata"]["uid"], volume_of(k, "mysql-2")
    with k.listing("get", "pod", "mysql-2") as listing:
        assert k.out("delete", "pod", "mysql-2").startswith('pod "mysql-2" deleted')
        wait_for("another mysql-2", lambda: k.pod("mysql-2")["metadata"]["uid"] != before)
        k.wait_ready("mysql-2")
        listing.wait_text(r"Terminating[\s\S]*^mysql-2 +2/2 +Running")
        wait_phases(listing, "mysql-2")
    assert volume_of(k, "mysql-2") == volume
    assert "keeping the data" in k.out("logs", "mysql-2", "-c", "clone-mysql")
    sql(k, f"INSERT INTO test.messages VALUES ('{k.since}')")
    wait_rows(k, "mysql-2", GREETING, *(text for text in SINCE.values() if text <= k.since))


def test_003_9_more_replicas_join(k, old):
    show = ("get", "pods", "-l", "app=mysql")
    with k.listing(*show) as new_listing, old.listing(*show) as old_listing, k.watch() as watch:
        assert old.out("scale", "statefulset", "mysql", "--replicas=5") == "statefulset.apps/mysql scaled\n"
        k.wait_ready("mysql-3", "mysql-4")
        for listing in (new_listing, old_listing):
            wait_phases(listing, "mysql-3", "mysql-4")
        wait_for("the watch to see it", lambda: watch.ready("mysql-4"))
        in_turn(watch, "mysql-3", "mysql-4")
    for m in ("mysql-3", "mysql-4"):
        wait_rows(k, m, GREETING, *SINCE.values())
    sql(k, "INSERT INTO test.messages VALUES ('to five')")
    for m in MEMBERS[1:] + ["mysql-3", "mysql-4"]:
        wait_rows(k, m, GREETING, *SINCE.values(), "to five")


def test_003_10_claims_stay_until_deleted_by_hand(k, old):
    volumes = {m: volume_of(k, m) for m in ("mysql-3", "mysql-4")}
    kept = {m: k.pod(m)["metadata"]["uid"] for m in MEMBERS}
    with k.watch() as watch:
        assert k.out("scale", "statefulset", "mysql", "--replicas=3") == "statefulset.apps/mysql scaled\n"
        wait_for("the end of mysql-3", lambda: watch.deleted("mysql-3"))
        assert watch.terminating("mysql-4") < watch.deleted("mysql-4") < watch.terminating("mysql-3")
    wait_for("3/3", lambda: columns(k.out("get", "statefulset"))[1][1] == "3/3")
    assert k.names("persistentvolumeclaims") == [f"data-mysql-{i}" for i in range(5)]
    for (m, (uid, volume)), by in zip(volumes.items(), (k, old)):
        assert volume_of(k, m) == (uid, volume)
        assert re.search(rf"Bound +default/data-{m} ", by.out("get", "pv", volume))
        disk = pathlib.Path(k.cluster.data_dir, "node", "volumes", volume)
        assert disk.exists()
        assert by.out("delete", "pvc", f"data-{m}").startswith(f'persistentvolumeclaim "data-{m}" deleted')
        wait_for(f"volume {volume} to go", lambda: k.cluster.request("GET", f"/api/v1/persistentvolumes/{volume}")[0] == 404)
        wait_for(f"{disk} to go", lambda: not disk.exists())
    assert k.names("persistentvolumeclaims") == [f"data-{m}" for m in MEMBERS]
    assert kept == {m: k.pod(m)["metadata"]["uid"] for m in MEMBERS}


def test_003_11_nothing_is_left_on_the_node(k, old):
    assert k.out("delete", "statefulset", "mysql").startswith('statefulset.apps "mysql" deleted')
    wait_for("no pods", lambda: "No resources found in default namespace." in k.k("get", "pods", "-l", "app=mysql").stderr)
    named = re.findall(r'^(\S+) "(\S+)" deleted', old.out("delete", "configmap,service,pvc", "-l", "app=mysql"), re.M)
    assert named == [("configmap", "mysql-config"), ("service", "mysql"), ("service", "mysql-read"),
                     *(("persistentvolumeclaim", f"data-{m}") for m in MEMBERS)]
    wait_for("no volumes", lambda: k.cluster.api("/api/v1/persistentvolumes")["items"] == [])
    left = k.cluster.node() - k.node_before

    def nothing():
        nonlocal left
        left = k.cluster.node() - k.node_before
        return not left
    try:
        wait_for("a node as it was before", nothing, 20)
    except lab.Failed as problem:
        raise lab.Failed(f"{problem}; left: " + "\n".join(sorted(left))) from None
