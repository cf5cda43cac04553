"""Why: a machine has room for one or two real nodes; the others are played here through the API: a kubelet that reports
what a kubelet reports, and engines that answer as vLLM does. What they say is real HTTP on addresses of their own.
"""
import datetime
import http.server
import socket
import socketserver

from .harness import *

LOAD_SECONDS = 1.5


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def whole_second():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Engine(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Answers what is asked of a vLLM that serves."""

    daemon_threads, allow_reuse_address = True, True

    def __init__(self, address, context):
        self.context, self.connections = context, []
        super().__init__(address, EngineRequest)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def process_request(self, request, client_address):
        self.connections.append(request)
        super().process_request(request, client_address)

    def end(self):
        """As when a process ends: what is still connected is cut off, too."""
        self.shutdown()
        self.server_close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class EngineRequest(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def say(self, body, content_type="application/json"):
        body = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/v1/models":
            self.say({"object": "list", "data": [{"id": "any", "object": "model", "max_model_len": self.server.context}]})
        elif self.path == "/metrics":
            self.say('vllm:num_requests_running{engine="0"} 0.0\nvllm:num_requests_waiting{engine="0"} 0.0\n', "text/plain")
        elif self.path == "/version":
            self.say({"version": "0.32.0"})
        else:
            self.say("")

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        choice = {"index": 0, "text": "x", "message": {"role": "assistant", "content": "x"}, "finish_reason": "length"}
        self.say({"id": "1", "choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 1}})


class PlayedNode:
    """One node: registers itself, renews its lease, runs the pods that are bound to it. A thread looks twice a second's tenth."""

    def __init__(self, api, name, address):
        self.api, self.name, self.address = api, name, address
        self.engines, self.started, self.ended = {}, {}, threading.Event()

    def __enter__(self):
        subprocess.run(["ip", "addr", "add", self.address + "/32", "dev", "lo"], check=False, capture_output=True)
        self.api.delete(f"/api/v1/nodes/{self.name}")
        self.api.call("POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {
            "name": self.name, "labels": {"kubernetes.io/hostname": self.name, "kubernetes.io/os": "linux"}}})
        self.report()
        self.lease()
        self.threads = [threading.Thread(target=loop, daemon=True) for loop in (self.beat, self.run)]
        for thread in self.threads:
            thread.start()
        until(f"{self.name} may be scheduled to", lambda: not self.api.get(f"/api/v1/nodes/{self.name}")["spec"].get("taints"), 30)
        return self

    def __exit__(self, *_):
        self.ended.set()
        for thread in self.threads:
            thread.join(10)
        for engine in self.engines.values():
            engine.end()
        self.api.delete(f"/api/v1/nodes/{self.name}")
        self.api.delete(f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{self.name}")
        subprocess.run(["ip", "addr", "del", self.address + "/32", "dev", "lo"], check=False, capture_output=True)

    def report(self):
        amounts = {"cpu": "32", "memory": "128Gi", "pods": "110"}
        conditions = [{"type": kind, "status": value, "reason": "Played", "message": "played by a test", "lastHeartbeatTime": whole_second(),
                       "lastTransitionTime": whole_second()} for kind, value in
                      (("MemoryPressure", "False"), ("DiskPressure", "False"), ("PIDPressure", "False"), ("Ready", "True"))]
        info = dict.fromkeys(("machineID", "systemUUID", "kernelVersion", "osImage", "containerRuntimeVersion", "kubeletVersion",
                              "kubeProxyVersion"), "played")
        self.api.call("PATCH", f"/api/v1/nodes/{self.name}/status", {"status": {
            "capacity": amounts, "allocatable": amounts, "conditions": conditions,
            "nodeInfo": {**info, "bootID": f"boot-{self.name}", "operatingSystem": "linux", "architecture": "amd64"}}},
                      "application/strategic-merge-patch+json")

    def lease(self):
        self.api.apply(f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{self.name}", {
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": self.name, "namespace": "kube-node-lease"},
            "spec": {"holderIdentity": self.name, "leaseDurationSeconds": 40, "renewTime": now()}})

    def beat(self):
        while not self.ended.wait(4):
            with contextlib.suppress(ApiError, OSError, http.client.HTTPException):
                self.lease()

    def run(self):
        while not self.ended.wait(0.05):
            with contextlib.suppress(ApiError, OSError, http.client.HTTPException):
                pods = self.api.items(f"/api/v1/pods?fieldSelector=spec.nodeName%3D{self.name}")
                for pod in pods:
                    self.see(pod)

    def see(self, pod):
        uid, path = pod["metadata"]["uid"], f"{pods_path(pod['metadata']['namespace'])}/{pod['metadata']['name']}"
        if pod["metadata"].get("deletionTimestamp"):
            if uid in self.engines:
                self.engines.pop(uid).end()
            self.api.call("DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0, "preconditions": {"uid": uid}})
            return
        container = pod["spec"]["containers"][0]
        if uid not in self.started:
            self.started[uid] = time.monotonic()
            self.api.call("PATCH", path + "/status", {"metadata": {"uid": uid}, "status": {
                "phase": "Running", "podIP": self.address, "podIPs": [{"ip": self.address}], "startTime": whole_second(),
                "containerStatuses": [{"name": container["name"], "image": container["image"], "imageID": "played", "ready": True, "restartCount": 0,
                                       "started": True, "state": {"running": {"startedAt": whole_second()}}}]}},
                          "application/strategic-merge-patch+json")
        if uid not in self.engines and time.monotonic() - self.started[uid] > LOAD_SECONDS and container.get("ports"):
            words = container.get("args", [])
            context = int(words[words.index("--max-model-len") + 1]) if "--max-model-len" in words else 8192
            self.engines[uid] = Engine((self.address, container["ports"][0]["containerPort"]), context)
