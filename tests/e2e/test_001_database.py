"""A database in a StatefulSet, as in the tutorial (scenarios 001.1 to 001.12). The tests build on each other."""
import re
import stat
import pathlib

import pytest

import lab
from lab import columns, is_ready, wait_for

SET = f"""
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: mysql
spec:
  selector:
    matchLabels:
      app: mysql
  serviceName: mysql
  replicas: 1
  template:
    metadata:
      labels:
        app: mysql
    spec:
      containers:
        - name: "db"
          image: "{lab.DATABASE}"
          ports:
            - containerPort: 3306
              name: mysql
              protocol: TCP
"""

SET_WITH_VOLUME = f"""
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: mysql
spec:
  selector:
    matchLabels:
      app: mysql
  serviceName: mysql
  replicas: 1
  template:
    metadata:
      labels:
        app: mysql
    spec:
      initContainers:
        - name: "fix-pvc-permissions"
          image: "{lab.WEB}"
          command:
            - "sh"
            - "-c"
            - "chown -R 1000:1000 /var/lib/mysql"
          volumeMounts:
            - mountPath: /var/lib/mysql
              name: vol-mysql
      containers:
        - name: "db"
          image: "{lab.DATABASE}"
          ports:
            - containerPort: 3306
              name: mysql
              protocol: TCP
          volumeMounts:
            - mountPath: /var/lib/mysql
              name: vol-mysql
      volumes:
        - name: vol-mysql
          persistentVolumeClaim:
            claimName: mysql
  volumeClaimTemplates:
    - metadata:
        name: vol-mysql
      spec:
        accessModes:
          - ReadWriteOnce
        resources:
          requests:
            storage: 10Gi
"""

SERVICE = """
---
apiVersion: v1
kind: Service
metadata:
  name: mysql
spec:
  clusterIP: None
  ports:
    - name: mysql
      port: 3306
      protocol: TCP
  selector:
    app: mysql
"""

WEB = f"""
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  selector:
    matchLabels: {{app: web}}
  template:
    metadata:
      labels: {{app: web}}
    spec:
      containers:
        - name: web
          image: {lab.WEB}
          ports: [{{containerPort: 80}}]
"""


@pytest.fixture(scope="module")
def k(story, database):
    return story


def write(k, text):
    path = pathlib.Path(k.home, "mysql.yml")
    path.write_text(text)
    return str(path)


def sql(k, statement, pod="mysql-0"):
    return k.out("exec", pod, "-c", "db", "--", "mysql", "-NBe", statement)


def wait_database(k):
    k.wait_ready("mysql-0")
    wait_for("the database to answer", lambda: k.k("exec", "mysql-0", "-c", "db", "--", "mysql", "-NBe", "use drupal; select 1",
                                                   check=False).returncode == 0, 90)


def test_001_1_apply(k):
    path = write(k, SET)
    k.apply(WEB)
    assert k.out(f"--kubeconfig={k.kubeconfig}", "apply", "-f", path) == "statefulset.apps/mysql created\n"
    wrong = SET.replace("name: mysql\nspec", "name: wrong\nspec", 1).replace("      app: mysql\n  serviceName", "      app: other\n  serviceName")
    error = k.fails("apply", "-f", write(k, wrong))
    assert 'The StatefulSet "wrong" is invalid: spec.template.metadata.labels: Invalid value:' in error
    assert "`selector` does not match template `labels`" in error
    assert k.names("statefulsets") == ["mysql"]


def test_001_2_list(k):
    k.wait_ready("mysql-0")
    wait_for("1/1", lambda: columns(k.out("get", "statefulsets"))[1][:2] == ["mysql", "1/1"])
    assert columns(k.out("get", "statefulsets"))[0] == ["NAME", "READY", "AGE"]
    web = wait_for("the web pod", lambda: k.pods_of("app=web"))[0]["metadata"]["name"]
    assert re.fullmatch(r"web-[bcdf0-9ghjklmnpqrstvwxz]{6,10}-[bcdfghjklmnpqrstvwxz2456789]{5}", web)
    k.wait_ready(web)
    rows = columns(k.out("get", "pods"))
    assert rows[0] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert [row[:4] for row in rows[1:]] == [["mysql-0", "1/1", "Running", "0"], [web, "1/1", "Running", "0"]]


def test_001_3_describe(k):
    text = k.out("describe", "statefulset", "mysql")
    for line in (r"^Update Strategy:\s+RollingUpdate", r"^\s+Partition:\s+0", r"^Pod Template:", r"^Volume Claims:\s+<none>",
                 r"^Pods Status:\s+1 Running / 0 Waiting / 0 Succeeded / 0 Failed",
                 r"Normal\s+SuccessfulCreate\s+\S+\s+statefulset-controller\s+create Pod mysql-0 in StatefulSet mysql successful"):
        assert re.search(line, text, re.M), f"{line} not in:\n{text}"


def test_001_4_edit_to_three(k):
    editor = pathlib.Path(k.home, "editor")
    editor.write_text("#!/bin/sh\nsed -i 's/^  replicas: 1$/  replicas: 3/' \"$1\"\n")
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    with k.watch() as watch:
        assert k.out("edit", "statefulset", "mysql", env={"KUBE_EDITOR": str(editor)}) == "statefulset.apps/mysql edited\n"
        k.wait_ready("mysql-1", "mysql-2")
        wait_for("the watch to see it", lambda: watch.ready("mysql-2"))
        assert watch.created("mysql-1") < watch.ready("mysql-1") < watch.created("mysql-2") < watch.ready("mysql-2")
    wait_for("3/3", lambda: columns(k.out("get", "statefulsets"))[1][1] == "3/3")
    assert [row[0] for row in columns(k.out("get", "pods"))[1:4]] == ["mysql-0", "mysql-1", "mysql-2"]


def test_001_5_a_deleted_pod_comes_back(k):
    before = k.pod("mysql-1")["metadata"]["uid"]
    others = {name: k.pod(name)["metadata"]["uid"] for name in ("mysql-0", "mysql-2")}
    with k.background("get", "pods", "--watch") as listing:
        listing.wait_text("^mysql-1 ")
        assert k.out("delete", "pod", "mysql-1").startswith('pod "mysql-1" deleted')
        k.wait_ready("mysql-1")
        listing.wait_text(r"^mysql-1 .*Terminating[\s\S]*^mysql-1 +0/1 +ContainerCreating[\s\S]*^mysql-1 +1/1 +Running")
    assert k.pod("mysql-1")["metadata"]["uid"] != before
    assert others == {name: k.pod(name)["metadata"]["uid"] for name in others}


def test_001_6_scale_to_one(k):
    with k.watch() as watch:
        assert k.out("scale", "statefulset/mysql", "--replicas=1") == "statefulset.apps/mysql scaled\n"
        k.wait_gone("pods", "mysql-1")
        wait_for("the watch to see it", lambda: watch.deleted("mysql-1"))
        assert watch.terminating("mysql-2") < watch.deleted("mysql-2") < watch.terminating("mysql-1")
        assert not any(o["metadata"]["name"] == "mysql-0" and "deletionTimestamp" in o["metadata"] for _, o in watch.events)
    assert is_ready(k.pod("mysql-0"))


FORBIDDEN = ('The StatefulSet "mysql" is invalid: spec: Forbidden: updates to statefulset spec for fields other than '
             "'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and "
             "'minReadySeconds' are forbidden\n")


def test_001_7_claim_templates_stay(k):
    before = k.get("statefulsets", "mysql")["spec"]
    assert k.fails("apply", "-f", write(k, SET_WITH_VOLUME)) == FORBIDDEN
    assert k.get("statefulsets", "mysql")["spec"] == before


def test_001_8_with_a_volume(k):
    assert k.out("delete", "statefulset", "mysql") .startswith('statefulset.apps "mysql" deleted')
    k.wait_gone("pods", "mysql-0")
    with k.background("get", "pods", "--watch") as listing:
        listing.wait_text("^web-")
        k.out("apply", "-f", write(k, SET_WITH_VOLUME))
        k.wait_ready("mysql-0")
        listing.wait_text(r"^mysql-0 +0/1 +Init:0/1[\s\S]*^mysql-0 +0/1 +PodInitializing[\s\S]*^mysql-0 +1/1 +Running")
    claims = columns(k.out("get", "pvc"))
    assert claims[0] == ["NAME", "STATUS", "VOLUME", "CAPACITY", "ACCESS MODES", "STORAGECLASS", "VOLUMEATTRIBUTESCLASS", "AGE"]
    assert len(claims) == 2 and claims[1][:2] == ["vol-mysql-mysql-0", "Bound"] and claims[1][3:5] == ["10Gi", "RWO"]
    volume = k.out("get", "pv", claims[1][2], "--no-headers")
    assert re.search(rf"10Gi +RWO +Delete +Bound +{k.ns}/vol-mysql-mysql-0", volume)
    assert re.search(r"^Volume Claims:\n\s+Name:\s+vol-mysql$", k.out("describe", "statefulset", "mysql"), re.M)


def test_001_7_claim_templates_do_not_change(k):
    before = k.get("statefulsets", "mysql")["spec"]
    for changed in (SET_WITH_VOLUME.replace("10Gi", "20Gi"), SET_WITH_VOLUME.replace("ReadWriteOnce", "ReadWriteMany"),
                    SET_WITH_VOLUME.replace("replicas: 1", "replicas: 2").replace("10Gi", "20Gi"),
                    SET_WITH_VOLUME[:SET_WITH_VOLUME.index("  volumeClaimTemplates:")]):
        assert k.fails("apply", "-f", write(k, changed)) == FORBIDDEN
    assert k.get("statefulsets", "mysql")["spec"] == before
    assert len(columns(k.out("get", "pvc"))) == 2


def test_001_9_the_disk_has_the_size_asked_for(k):
    with k.terminal("exec", "-it", "mysql-0", "--", "/bin/bash") as terminal:
        terminal.expect(r"\$ ")
        terminal.send("df -h /var/lib/mysql\n")
        assert terminal.expect(r"^\S+\s+(\S+)\s+\S+\s+\S+\s+\d+% /var/lib/mysql").group(1) == "9.8G"
        terminal.send("ls -d /var/lib/mysql/lost*; tty; exit\n")
        terminal.expect(r"^/var/lib/mysql/lost\+found")
        terminal.expect(r"^/dev/pts/0")
        assert terminal.wait() == 0


def test_001_10_databases_and_users(k):
    wait_database(k)
    with k.terminal("exec", "-it", "mysql-0", "--", "/bin/bash") as terminal:
        terminal.expect(r"\$ ")
        terminal.send("mysql\n")
        terminal.expect(r"MariaDB \[\(none\)\]> ")
        terminal.send("show databases;\n")
        databases = terminal.expect(r"\| Database[\s\S]*rows in set").group(0)
        for name in ("#mysql50#lost+found", "drupal", "information_schema", "mysql", "performance_schema"):
            assert f"| {name} " in databases
        terminal.send("use drupal;\n")
        terminal.expect(r"MariaDB \[drupal\]> ")
        terminal.send("show tables;\n")
        terminal.expect("Empty set")
        terminal.send("use mysql;\n")
        terminal.expect(r"MariaDB \[mysql\]> ")
        terminal.send("select Host, User from user;\n")
        terminal.expect(r"\| % +\| drupal +\|")
        terminal.send("quit;\n")
        terminal.expect("Bye")
        terminal.send("exit\n")
        assert terminal.wait() == 0
    sql(k, "create table drupal.visits (n int); insert into drupal.visits values (42)")
    volume = k.get("persistentvolumeclaims", "vol-mysql-mysql-0")["spec"]["volumeName"]
    k.k("delete", "pod", "mysql-0")
    wait_database(k)
    assert sql(k, "select n from drupal.visits") == "42\n"
    assert k.get("persistentvolumeclaims", "vol-mysql-mysql-0")["spec"]["volumeName"] == volume


def test_001_11_headless_service(k):
    out = k.out("apply", "-f", write(k, SET_WITH_VOLUME + SERVICE))
    assert out == "statefulset.apps/mysql unchanged\nservice/mysql created\n" or re.fullmatch(
        r"statefulset.apps/mysql (configured|unchanged)\nservice/mysql created\n", out)
    rows = columns(k.out("get", "services"))
    assert rows[0] == ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"]
    assert rows[1][:5] == ["mysql", "ClusterIP", "None", "<none>", "3306/TCP"]
    assert is_ready(k.pod("mysql-0"))


def test_001_12_from_the_web_pod(k):
    web = k.pods_of("app=web")[0]["metadata"]["name"]
    error = k.fails("exec", web, "--", "mysql", "-u", "drupal", "-pdrupal", "-h", "mysql-0")
    assert re.search(r"ERROR 2005 \(HY000\): Unknown (MySQL )?server host 'mysql-0' \(-[23]\)", error)
    with k.terminal("exec", "-it", web, "--", "/bin/bash") as terminal:
        terminal.expect("# ")
        terminal.send("mysql -u drupal -p -h mysql-0.mysql\n")
        terminal.expect("Enter password: ")
        terminal.send("drupal\n")
        terminal.expect("Welcome to the MariaDB monitor")
        terminal.expect(r"MariaDB \[\(none\)\]> ")
        terminal.send("select n from drupal.visits;\n")
        terminal.expect(r"\| +42 +\|")
        terminal.send("quit\n")
        terminal.expect("Bye")
        terminal.send("exit\n")
        assert terminal.wait() == 0
