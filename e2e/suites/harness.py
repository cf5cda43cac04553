"""Why: what every suite needs: the API server as a plain client, the operator as a process that can be stopped, frozen
and killed, the audit log as evidence, and a runner that counts. Standard library only.

A suite is a file of functions marked @test("a sentence"). `python3 -m suites NAME...` runs them; the last line is
"N passed, N failed". Nothing here knows the operator's inside: it looks at the cluster as a user does.
"""
import base64
import contextlib
import http.client
import json
import os
import re
import shlex
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.parse

from . import evidence

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOT = os.path.dirname(HERE)
STATE = os.environ.get("STRIX_E2E_STATE", "/var/tmp/strix-e2e")
MODELS = os.environ.get("STRIX_E2E_MODELS", "/var/lib/strix-e2e/models")
DEVICES = os.environ.get("STRIX_E2E_DEVICES", "/var/lib/strix-e2e/dev")
POOLS = "/var/lib/strix-e2e/pool"
BUILD = os.environ.get("STRIX_BUILD", os.path.join(ROOT, ".build", "release"))
GROUP = "/apis/inference.strix.dev/v1alpha1"
GATE = "inference.strix.dev/load-window"
SERVING = "inference.strix.dev/serving"


class ApiError(Exception):
    def __init__(self, status, body):
        self.status = status
        try:
            self.message = json.loads(body).get("message", "")
        except ValueError:
            self.message = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
        super().__init__(f"HTTP {status}: {self.message[:600]}")


class Api:
    """The API server as one identity sees it; a kept-alive connection for each thread."""

    def __init__(self, kubeconfig=None):
        config = json.loads(subprocess.check_output(
            [kubectl_path(), "--kubeconfig", kubeconfig or os.path.join(STATE, "kubeconfig"), "config", "view", "--raw", "--minify",
             "-o", "json"]))
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        url = urllib.parse.urlsplit(cluster["server"])
        self.server, self.host, self.port = cluster["server"], url.hostname, url.port or 443
        ca = self._pem(cluster, "certificate-authority")
        self.tls = ssl.create_default_context(cadata=ca)
        if "client-certificate-data" in user or "client-certificate" in user:
            with tempfile.NamedTemporaryFile("w") as pem:
                pem.write(self._pem(user, "client-certificate") + "\n" + self._pem(user, "client-key"))
                pem.flush()
                self.tls.load_cert_chain(pem.name)
        self.token = user.get("token") or (open(user["tokenFile"]).read() if "tokenFile" in user else None)
        self.local = threading.local()

    @staticmethod
    def _pem(section, name):
        if name + "-data" in section:
            return base64.b64decode(section[name + "-data"]).decode()
        with open(section[name]) as f:
            return f.read()

    def connect(self, timeout=30):
        return http.client.HTTPSConnection(self.host, self.port, context=self.tls, timeout=timeout)

    def raw(self, method, path, body=None, content_type="application/json"):
        headers = {"Accept": "application/json", "User-Agent": "strix-e2e"}
        if self.token:
            headers["Authorization"] = "Bearer " + self.token
        if body is not None:
            headers["Content-Type"] = content_type
            body = body if isinstance(body, (bytes, str)) else json.dumps(body)
        for attempt in (1, 2):
            fresh = getattr(self.local, "connection", None) is None
            if fresh:
                self.local.connection = self.connect()
            try:
                self.local.connection.request(method, path, body, headers)
                reply = self.local.connection.getresponse()
                return reply.status, reply.read()
            except (http.client.HTTPException, OSError):
                self.local.connection.close()
                self.local.connection = None
                if fresh or attempt == 2 or method == "POST":
                    raise

    def call(self, method, path, body=None, content_type="application/json"):
        status, data = self.raw(method, path, body, content_type)
        if status >= 400:
            raise ApiError(status, data)
        return json.loads(data) if data else None

    def get(self, path):
        return self.call("GET", path)

    def find(self, path):
        """The object, or None where there is none."""
        try:
            return self.get(path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def items(self, path):
        return self.get(path)["items"]

    def apply(self, path, body, force=True):
        return self.call("PATCH", f"{path}?fieldManager=e2e&force={'true' if force else 'false'}", body,
                         "application/apply-patch+yaml")

    def merge(self, path, body):
        return self.call("PATCH", path, body, "application/merge-patch+json")

    def delete(self, path, propagation="Background", grace=None):
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        try:
            return self.call("DELETE", path, options)
        except ApiError as error:
            if error.status != 404:
                raise


def kubectl_path():
    local = os.path.join(STATE, "bin", "kubectl")
    return local if os.path.exists(local) else "kubectl"


def kubectl(*args, check=True, stdin=None, timeout=60):
    done = subprocess.run([kubectl_path(), "--kubeconfig", os.path.join(STATE, "kubeconfig"), *args], input=stdin, text=True,
                          capture_output=True, timeout=timeout)
    if check and done.returncode:
        raise AssertionError(f"kubectl {shlex.join(args)}: {done.stderr.strip()}")
    return done


def cluster(*args, timeout=300):
    done = subprocess.run([os.path.join(HERE, "cluster"), *args], text=True, capture_output=True, timeout=timeout)
    if done.returncode:
        raise AssertionError(f"e2e/cluster {shlex.join(args)}: {done.stderr.strip()[-2000:]}")
    return done.stdout


# --- waiting and saying --------------------------------------------------------------------------------------------

PATIENCE = 3  # a deadline is for a hang, not for a slow machine: what has to be fast is asserted where it is measured


def until(what, condition, seconds=30, every=0.05):
    """The first true answer of `condition` within PATIENCE times `seconds`; an exception inside counts as not yet."""
    seconds *= PATIENCE
    deadline, last = time.monotonic() + seconds, None
    while time.monotonic() < deadline:
        try:
            answer = condition()
            if answer:
                return answer
        except (AssertionError, ApiError, OSError, http.client.HTTPException, KeyError, IndexError, TypeError,
                ValueError) as error:
            last = error
        time.sleep(every)
    raise AssertionError(f"not within {seconds} s: {what}" + (f" (last: {last})" if last else ""))


def never(what, condition, seconds, every=0.1):
    """`condition` must stay false for that long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = condition()
        assert not answer, f"{what}: {answer}"
        time.sleep(every)


def seconds_of(stamp):
    """An RFC 3339 time as seconds since the epoch."""
    match = re.fullmatch(r"(\d+-\d+-\d+T\d+:\d+:\d+)(\.\d+)?Z", stamp)
    import calendar
    whole = calendar.timegm(time.strptime(match.group(1), "%Y-%m-%dT%H:%M:%S"))
    return whole + float(match.group(2) or 0)


# --- the objects of a stack ---------------------------------------------------------------------------------------

def stacks_path(namespace):
    return f"{GROUP}/namespaces/{namespace}/inferencestacks"


def stack_path(namespace, name):
    return f"{stacks_path(namespace)}/{name}"


def pods_path(namespace):
    return f"/api/v1/namespaces/{namespace}/pods"


def node_entry(name="halo", node="strix-1", **profile):
    return {"name": name, "selector": {"kubernetes.io/hostname": node},
            "profile": {"unifiedMemory": "128Gi", "gpuMemory": "124Gi", "systemReserve": "6Gi", **profile},
            "devices": {"strategy": "Privileged", "paths": [DEVICES]},
            "modelStore": {"hostPath": {"path": MODELS}}}


def gpu_tier(name, port, fraction=0.2, load=0.5, weights_gib=4, env=None, **more):
    """A tier on the stand-in engine; `load` is how long it loads, in seconds."""
    values = {"STRIX_STANDIN_LOAD_SECONDS": str(load), "STRIX_STANDIN_WEIGHT_BYTES": str(weights_gib << 30), **(env or {})}
    return {"name": name, "engine": "vllm", "port": port,
            "model": {"repository": "Qwen/Qwen3-Coder-30B-A3B-Instruct", "facts": {"weightBytes": weights_gib << 30}},
            "imagePullPolicy": "IfNotPresent", "contextLength": 8192, "memory": {"gpuFraction": fraction},
            "env": [{"name": k, "value": v} for k, v in values.items()], **more}


def cpu_tier(name, port, **more):
    """A tier on the real llama-server with the small real model."""
    return {"name": name, "engine": "llamacpp", "model": {"file": "SmolLM2-135M-Instruct.Q4_1.gguf"}, "port": port,
            "contextLength": 2048, "maxSequences": 1, "threads": 1, "resources": {"requests": {"memory": "256Mi"}}, **more}


def stack(name, namespace, tiers, nodes=None, pool=None, **spec):
    """An InferenceStack; all its stand-in tiers keep their books in one pool file."""
    pool = pool or namespace
    return {"apiVersion": "inference.strix.dev/v1alpha1", "kind": "InferenceStack",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"nodes": nodes or [node_entry()], "engines": {
                "vllm": {"image": "localhost/strix-e2e/vllm-standin:latest",
                         "cache": {"hostPath": {"path": POOLS}},
                         "env": [{"name": "STRIX_STANDIN_POOL", "value": f"/cache/{pool}"},
                                 {"name": "STRIX_STANDIN_POOL_BYTES", "value": str(124 << 30)},
                                 {"name": "STRIX_STANDIN_CONTROL", "value": f"/cache/{pool}.control"},
                                 {"name": "STRIX_STANDIN_DEVICE", "value": f"{DEVICES}/kfd"}]},
                "llamacpp": {"image": "localhost/strix-e2e/llama-server:0.7.0"}},
                "tiers": tiers, **spec}}


def condition(obj, kind):
    for c in obj.get("status", {}).get("conditions", []):
        if c["type"] == kind:
            return c
    return None


def is_ready(obj):
    ready = condition(obj, "Ready")
    return bool(ready and ready["status"] == "True" and obj["status"]["observedGeneration"] == obj["metadata"]["generation"])


def tier_status(obj, tier):
    return next(t for t in obj["status"]["tiers"] if t["name"] == tier)


def kstatus(obj):
    """The generic rules of kstatus, for an object without Deployment-like special cases."""
    if obj["metadata"].get("deletionTimestamp"):
        return "Terminating"
    status = obj.get("status", {})
    if "observedGeneration" in status and status["observedGeneration"] != obj["metadata"]["generation"]:
        return "InProgress"
    found = {c["type"]: c["status"] for c in status.get("conditions", [])}
    if found.get("Reconciling") == "True":
        return "InProgress"
    if found.get("Stalled") == "True":
        return "Failed"
    if "Ready" in found:
        return "Current" if found["Ready"] == "True" else "InProgress"
    return "Current"


def gated(pod):
    return any(g["name"] == GATE for g in pod["spec"].get("schedulingGates", []))


def serving(pod):
    return any(c["type"] == SERVING and c["status"] == "True" for c in pod["status"].get("conditions", []))


def pod_ready(pod):
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))


class Namespace:
    """A namespace for one test, emptied at its end in the way a user would: stacks first."""

    def __init__(self, api, name):
        self.api, self.name = api, name

    def __enter__(self):
        labels = {"pod-security.kubernetes.io/enforce": "privileged"}
        self.api.apply(f"/api/v1/namespaces/{self.name}",
                       {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name, "labels": labels}})
        until(f"the default service account of {self.name}",
              lambda: self.api.find(f"/api/v1/namespaces/{self.name}/serviceaccounts/default"))
        os.makedirs(os.path.join(POOLS, self.name + ".control"), exist_ok=True)
        for leftover in (self.name, self.name + ".log"):
            with contextlib.suppress(FileNotFoundError):
                os.remove(os.path.join(POOLS, leftover))
        return self

    def __exit__(self, kind, *_):
        if kind:
            evidence.print_of(self.api, self.name, stacks_path(self.name), os.path.join(STATE, "logs"))
        for item in self.api.items(stacks_path(self.name)):
            self.api.delete(stack_path(self.name, item["metadata"]["name"]))
        with contextlib.suppress(AssertionError):
            until("the stacks are gone", lambda: not self.api.items(stacks_path(self.name)), 60)
        for item in self.api.items(stacks_path(self.name)):  # a test that failed must not disturb the next
            self.api.merge(stack_path(self.name, item["metadata"]["name"]), {"metadata": {"finalizers": None}})
        self.api.call("DELETE", pods_path(self.name) + "?gracePeriodSeconds=0")
        with contextlib.suppress(AssertionError):
            until("the pods are gone", lambda: not self.api.items(pods_path(self.name)), 60)

    def apply(self, obj):
        return self.api.apply(stack_path(self.name, obj["metadata"]["name"]), obj)

    def stack(self, name="s"):
        return self.api.get(stack_path(self.name, name))

    def edit(self, name, change):
        """A read, a change, a write: what `kubectl edit` does."""
        while True:
            obj = self.stack(name)
            change(obj["spec"])
            try:
                return self.api.call("PUT", stack_path(self.name, name), obj)
            except ApiError as error:
                if error.status != 409:
                    raise

    def delete(self, name="s", propagation="Background"):
        self.api.delete(stack_path(self.name, name), propagation)

    def pods(self):
        return {p["metadata"]["name"]: p for p in self.api.items(pods_path(self.name))}

    def pod(self, name):
        return self.api.find(f"{pods_path(self.name)}/{name}")

    def wait_ready(self, name="s", seconds=90):
        return until(f"stack {self.name}/{name} is Ready", lambda: (lambda o: is_ready(o) and o)(self.stack(name)), seconds)

    def wait_gone(self, name="s", seconds=60):
        until(f"stack {self.name}/{name} is gone", lambda: self.api.find(stack_path(self.name, name)) is None, seconds)

    def control(self, served_name, word):
        """Tells a stand-in engine how to behave; see e2e/engines/README.md."""
        path = os.path.join(POOLS, self.name + ".control", served_name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + ".part", "w") as f:
            f.write(word)
        os.rename(path + ".part", path)

    def engine_log(self):
        """What the stand-in engines of this namespace wrote of themselves, in order."""
        with contextlib.suppress(FileNotFoundError):
            with open(os.path.join(POOLS, self.name + ".log")) as f:
                return [json.loads(line) for line in f]
        return []


# --- watching -----------------------------------------------------------------------------------------------------

class Recording(threading.Thread):
    """Every event of a collection with the time at which it was seen."""

    def __init__(self, api, path):
        super().__init__(daemon=True)
        self.api, self.path, self.events, self.ended = api, path, [], threading.Event()
        self.version = api.get(path)["metadata"]["resourceVersion"]

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()

    def run(self):
        while not self.ended.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                connection = self.api.connect(timeout=5)
                connection.request("GET", f"{self.path}?watch=1&resourceVersion={self.version}&allowWatchBookmarks=true",
                                   headers={"Accept": "application/json"})
                reply = connection.getresponse()
                while not self.ended.is_set() and (line := reply.readline()):
                    event = json.loads(line)
                    self.version = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] != "BOOKMARK":
                        self.events.append((time.time(), event["type"], event["object"]))
                connection.close()

    def first(self, name, wanted):
        """When an object of that name first satisfied `wanted`; None: never."""
        for when, _, obj in self.events:
            if obj["metadata"]["name"] == name and wanted(obj):
                return when
        return None


def order_is_proved(recording, namespace, names):
    """From the API alone: each gate was removed only after the tier before it was serving."""
    admitted = [recording.first(n, lambda p: not gated(p)) for n in names]
    served = [recording.first(n, serving) for n in names]
    assert all(admitted) and all(served), f"{namespace}: admitted {admitted}, served {served}"
    for before, after in zip(range(len(names)), range(1, len(names))):
        assert served[before] <= admitted[after], f"{names[after]} was let in before {names[before]} served"


class Audit:
    """The API server's own record of who asked for what."""

    PATH = os.path.join(STATE, "audit.log")

    def __init__(self, match="strix-operator/"):
        self.match, self.begin = re.compile(match), os.path.getsize(self.PATH)

    def requests(self):
        with open(self.PATH, "rb") as f:
            f.seek(self.begin)
            data = f.read()
        for line in data[:data.rfind(b"\n") + 1].splitlines():
            entry = json.loads(line)
            agent = f"{entry['user'].get('username', '')} {entry.get('userAgent', '')}"
            if not self.match.search(agent):
                continue
            if entry["stage"] != ("ResponseStarted" if entry["verb"] == "watch" else "ResponseComplete"):
                continue
            yield entry

    def table(self):
        counts = {}
        for entry in self.requests():
            ref = entry.get("objectRef") or {}
            what = ref.get("resource", entry["requestURI"]) + ("/" + ref["subresource"] if ref.get("subresource") else "")
            key = f"{entry['verb']} {what} {entry.get('responseStatus', {}).get('code', 0)}"
            counts[key] = counts.get(key, 0) + 1
        return counts


# --- the operator -------------------------------------------------------------------------------------------------

def free_port():
    """A port of this machine that nothing listens on; no two calls answer the same."""
    while True:
        free_port.last += 1
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", free_port.last))
            return free_port.last


free_port.last = 18080


# Of tests about who leads. Elsewhere a machine that stalls for three seconds is not to end the operator.
QUICK_LEASE = ("--lease-duration-seconds", "4", "--renew-deadline-seconds", "3", "--retry-period-seconds", "1")


class Operator:
    """One process of the operator, running with the rights that manifests/ grant."""

    def __init__(self, *flags, name="operator", kubeconfig=None, privileged=True, roots=(MODELS, "/var/lib/strix-e2e"),
                 elect=("--lease-duration-seconds", "60", "--renew-deadline-seconds", "45", "--retry-period-seconds", "1")):
        self.port = free_port()
        self.log = os.path.join(STATE, "logs", f"e2e-{name}.log")
        self.command = [os.path.join(BUILD, "strix-operator"), "run", "--kubeconfig",
                        kubeconfig or os.path.join(STATE, "operator", "kubeconfig"),
                        "--listen", f"127.0.0.1:{self.port}", "--model-roots", ",".join(roots),
                        *(["--allow-privileged-tiers"] if privileged else []), *elect, *flags]
        self.process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self, ready=True):
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        if ready:
            until("the operator's /readyz", lambda: self.get("/readyz")[0] == 200, 30)
        return self

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            reply = connection.getresponse()
            return reply.status, reply.read().decode()
        finally:
            connection.close()

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        if self.alive():
            self.process.kill()
        if self.process:
            self.process.wait(10)

    def stop(self, seconds=20):
        if not self.alive():
            return self.process.returncode if self.process else None
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the operator did not end within {seconds} s of SIGTERM")
        return self.process.returncode

    def memory_kib(self):
        with open(f"/proc/{self.process.pid}/status") as f:
            fields = dict(line.split(":", 1) for line in f)
        return {k: int(fields[k].split()[0]) for k in ("VmRSS", "RssAnon", "VmHWM")}

    def log_lines(self):
        with open(self.log) as f:
            return [json.loads(line) for line in f if line.startswith("{")]


# --- asking tiers -------------------------------------------------------------------------------------------------

def service_address(api, namespace, name):
    spec = api.get(f"/api/v1/namespaces/{namespace}/services/{name}")["spec"]
    return spec["clusterIP"], spec["ports"][0]["port"]


def ask(address, path, body=None, timeout=30):
    connection = http.client.HTTPConnection(*address, timeout=timeout)
    try:
        connection.request("POST" if body is not None else "GET", path, json.dumps(body) if body is not None else None,
                           {"Content-Type": "application/json"})
        reply = connection.getresponse()
        return reply.status, reply.read().decode(errors="replace")
    finally:
        connection.close()


def chat(address, text="Say hello.", model="any", tokens=8, timeout=60):
    status, body = ask(address, "/v1/chat/completions",
                       {"model": model, "max_tokens": tokens, "messages": [{"role": "user", "content": text}]}, timeout)
    assert status == 200, f"chat answered {status}: {body[:300]}"
    return json.loads(body)["choices"][0]["message"]["content"]


# --- the runner ---------------------------------------------------------------------------------------------------

TESTS = []


def test(sentence, seconds=180):
    def mark(function):
        TESTS.append((function.__module__.rsplit(".", 1)[-1], sentence, seconds, function))
        return function
    return mark


class Overdue(Exception):
    pass


def run(tests):
    """Runs each test with its deadline; returns (passed, failed)."""
    def overdue(*_):
        raise Overdue()

    signal.signal(signal.SIGALRM, overdue)
    passed, failed = 0, []
    for suite, sentence, seconds, function in tests:
        seconds *= PATIENCE
        begun = time.monotonic()
        signal.alarm(seconds)
        try:
            function()
            signal.alarm(0)
            passed += 1
            print(f"ok      {suite}: {sentence} ({time.monotonic() - begun:.1f} s)", flush=True)
        except BaseException as error:  # the next test has to run whatever this one did
            signal.alarm(0)
            if isinstance(error, KeyboardInterrupt):
                raise
            why = f"not done within {seconds} s" if isinstance(error, Overdue) else f"{type(error).__name__}: {error}"
            failed.append(f"FAILED  {suite}: {sentence}: {why.splitlines()[0][:300]}")
            print(f"FAILED  {suite}: {sentence} ({time.monotonic() - begun:.1f} s)\n        {why}", flush=True)
            traceback.print_exc(limit=-4, file=sys.stdout)
            sys.stdout.flush()
    print("".join(line + "\n" for line in failed), end="")  # once more at the end, where a long log is read first
    return passed, len(failed)
