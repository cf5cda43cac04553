"""Why: kubelets, nodes, the API server and its history go away and come back, and tiers are neither doubled nor lost."""
from .harness import *

API = Api()


def uids(ns):
    return {n: p["metadata"]["uid"] for n, p in ns.pods().items()}


def node_ready(name):
    return any(c["type"] == "Ready" and c["status"] == "True" for c in API.get(f"/api/v1/nodes/{name}")["status"]["conditions"])


@contextlib.contextmanager
def supervised(*flags):
    """An operator that is started again whenever it ends, as its Deployment would; a leader that cannot renew its lease
    ends. The scheduler too: it ends by itself when a list after a gap shows it a pod of the same name elsewhere."""
    operator, ended = Operator(elect=flags).start(), threading.Event()

    def watch():
        while not ended.wait(0.5):
            if not operator.alive():
                operator.start(ready=False)
            with contextlib.suppress(AssertionError, ApiError, OSError, http.client.HTTPException):
                if API.raw("GET", "/readyz")[0] == 200:
                    cluster("start", "scheduler")

    supervisor = threading.Thread(target=watch, daemon=True)
    supervisor.start()
    try:
        yield operator
    finally:
        ended.set()
        supervisor.join(60)
        operator.stop()


@test("a kubelet that stops and starts again costs no tier its pod", 240)
def kubelet():
    with Operator(), Namespace(API, "e2e-kubelet") as ns:
        ns.apply(stack("s", ns.name, [gpu_tier("one", 8001, 0.2), cpu_tier("two", 8002)]))
        ns.wait_ready()
        before = uids(ns)
        cluster("stop", "kubelet", "strix-1")
        try:
            until("the stack says that the node is not ready", lambda: ns.stack()["status"]["summary"]["status"] == "NodeNotReady", 90)
            print(f"        {condition(ns.stack(), 'Ready')['message']}")
            assert kstatus(ns.stack()) == "InProgress"
        finally:
            cluster("start", "kubelet", "strix-1")
        ns.wait_ready(seconds=90)
        assert uids(ns) == before


@test("a node that loses its power comes back with all its tiers, one after another", 300)
def reboot():
    with Operator(), Namespace(API, "e2e-reboot") as ns:
        ns.apply(stack("s", ns.name, [gpu_tier("one", 8001, 0.2, load=1), gpu_tier("two", 8002, 0.3, load=1), cpu_tier("three", 8011)]))
        ns.wait_ready()
        before = uids(ns)
        with Recording(API, pods_path(ns.name)) as seen:
            cluster("reboot", "strix-1")
            until("all have new pods that serve", lambda: all(uids(ns).get(n) not in (None, u) for n, u in before.items()) and is_ready(ns.stack()), 180)
        spans = []
        for name in before:
            fresh = [e for e in seen.events if e[2]["metadata"]["name"] == name and e[2]["metadata"]["uid"] != before[name]]
            opened = next(when for when, _, p in fresh if not gated(p))
            spans.append((opened, next(when for when, _, p in fresh if serving(p))))
        spans.sort()
        assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:])), spans
        restarts = {t["name"]: t["restarts"] for t in ns.stack()["status"]["tiers"]}
        assert all(n <= 1 for n in restarts.values()), restarts


@test("a tier in whose load its node goes down twice in a row is not started a third time, and the others run", 400)
def reboot_loop():
    with Operator(), Namespace(API, "e2e-reboot-loop") as ns:
        ns.apply(stack("s", ns.name, [gpu_tier("one", 8001, 0.2, env={"STRIX_STANDIN_DIE": "never-ready"}, restart={"backoffSeconds": 1}),
                                      gpu_tier("two", 8002, 0.3)]))

        def loads():
            pod = ns.pod("s-one")
            containers = pod["status"].get("containerStatuses") if pod and not gated(pod) else None
            return containers and "running" in containers[0]["state"]

        for failure_class in ("RebootedWhileLoading", "RebootLoop"):
            until("it loads", loads, 120)
            cluster("reboot", "strix-1")
            until(failure_class, lambda: tier_status(ns.stack(), "one").get("lastFailure", {}).get("class") == failure_class, 120)
        until("the other one runs", lambda: tier_status(ns.stack(), "two")["state"] == "Ready", 120)
        status = tier_status(ns.stack(), "one")
        print(f"        {status['message']}")
        assert status["state"] == "GivenUp" and status["reason"] == "RebootLoop", status


@test("an API server that is away for a minute in the middle of a rollout finds it carried on", 400)
def api_away():
    seconds = int(os.environ.get("STRIX_E2E_API_AWAY_SECONDS", "60"))
    with Namespace(API, "e2e-apiaway") as ns, supervised("--lease-duration-seconds", "15", "--renew-deadline-seconds", "10"):
        ns.apply(stack("s", ns.name, [gpu_tier("one", 8001, 0.2, load=2), gpu_tier("two", 8002, 0.3, load=2)]))
        ns.wait_ready()
        before = uids(ns)
        ns.edit("s", lambda spec: [t.update(contextLength=4096) for t in spec["tiers"]])
        until("the first is on its way", lambda: uids(ns) != before, 60)
        cluster("stop", "apiserver")
        try:
            time.sleep(seconds)
        finally:
            cluster("start", "apiserver")
        ready = ns.wait_ready(seconds=200)
        assert all(t["contextLength"] == 4096 for t in ready["status"]["tiers"]), ready["status"]["tiers"]
        ns.delete()
        ns.wait_gone()


def compact():
    """Forgets etcd's history up to now, as the API server does every five minutes."""
    with open(os.path.join(STATE, "port-base")) as f:
        port = int(f.read()) + 1

    def ask(path, body):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("POST", path, json.dumps(body))
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read())
    _, answer = ask("/v3/kv/range", {"key": base64.b64encode(b"health").decode()})
    status, answer = ask("/v3/kv/compaction", {"revision": answer["header"]["revision"], "physical": True})
    assert status == 200, answer


@test("a watch whose history was compacted away is begun anew, and misses nothing", 300)
def compacted():
    with Operator(elect=("--no-leader-elect",)) as operator, Namespace(API, "e2e-compact") as ns:
        ns.apply(stack("s", ns.name, [gpu_tier("one", 8001, 0.2), gpu_tier("two", 8002, 0.3)]))
        ns.wait_ready()
        operator.signal(signal.SIGSTOP)
        ns.edit("s", lambda spec: (spec["tiers"][0].update(contextLength=4096), spec["tiers"].pop(1)))
        API.delete(f"{pods_path(ns.name)}/s-two", grace=0)
        for i in range(20):
            API.merge(stack_path(ns.name, "s"), {"metadata": {"annotations": {"e2e/turn": str(i)}}})
        compact()
        cluster("restart", "apiserver")
        # One that lists after the gap and sees a pod of the same name elsewhere ends: it is to list before that.
        cluster("restart", "scheduler")
        operator.signal(signal.SIGCONT)
        ready = until("the change is rolled out", lambda: (lambda o: is_ready(o) and len(o["status"]["tiers"]) == 1 and
                                                           tier_status(o, "one")["contextLength"] == 4096 and o)(ns.stack()), 120)
        assert set(ns.pods()) == {"s-one"}, (ns.pods().keys(), ready["status"])
        metrics = operator.get("/metrics")[1]
        causes = re.findall(r'^(inferencestack_watch_restarts_total\{[^}]*\}) (\d+)', metrics, re.M)
        print(f"        {causes}")
        cluster("start", "scheduler")


@test("a pod that is deleted by force is counted until it must have ended, and then made again", 240)
def forced():
    with Operator(), Namespace(API, "e2e-force") as ns:
        ns.apply(stack("s", ns.name, [gpu_tier("one", 8001, 0.2), cpu_tier("two", 8002)]))
        ns.wait_ready()
        pod, two = ns.pod("s-one"), ns.pod("s-two")["metadata"]["uid"]
        grace = pod["spec"]["terminationGracePeriodSeconds"]
        begun = time.monotonic()
        API.delete(f"{pods_path(ns.name)}/s-one", grace=0)
        held = until("it says what is waited for", lambda: (lambda t: t["reason"] == "PreviousPodVanished" and t)(tier_status(ns.stack(), "one")))
        print(f"        {held['message']}")
        until("a new pod serves", lambda: (lambda p: p and p["metadata"]["uid"] != pod["metadata"]["uid"] and serving(p))(ns.pod("s-one")), grace + 90)
        assert time.monotonic() - begun >= grace + 30, f"after {time.monotonic() - begun:.0f} s, with a grace of {grace} s"
        assert ns.pod("s-two")["metadata"]["uid"] == two
