"""Why: the operator itself dies, freezes and loses its API server, and the stack does not notice."""
import random

from .harness import *
from .proxy import Proxy

API = Api()


@test("killed at random moments of a start and started again, it ends Ready and never makes two pods of a tier", 300)
def kills():
    rng = random.Random(20)
    with contextlib.ExitStack() as ending, Namespace(API, "e2e-kill") as ns:
        # Each of them acts at once: with a lease, none but the first would live long enough to lead.
        operator = Operator(elect=("--no-leader-elect",))
        ending.callback(operator.stop)
        with Recording(API, pods_path(ns.name)) as seen:
            operator.start(ready=False)
            ns.apply(stack("s", ns.name, [gpu_tier(n, p, 0.2, load=1) for n, p in (("one", 8001), ("two", 8002), ("three", 8003))]))
            for _ in range(20):
                # What was given back before it began has settled after two seconds; before that it lets nobody in.
                time.sleep(rng.uniform(0.02, 3.5))
                operator.kill()
                operator.start(ready=False)
            let_in = {pod["metadata"]["name"] for _, _, pod in seen.events if not gated(pod)}
            print(f"        let in before the last kill: {sorted(let_in)}")
            assert let_in
            ns.wait_ready(seconds=120)
            alive = {}
            for _, kind, pod in seen.events:
                name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
                if kind == "DELETED":
                    alive.get(name, set()).discard(uid)
                else:
                    alive.setdefault(name, set()).add(uid)
                assert len(alive[name]) <= 1, f"two pods of {name}"
        ns.delete()
        ns.wait_gone()


@test("the API server is restarted during a start, and the start carries on", 240)
def api_restart():
    with Operator("--lease-name", "strix-operator") as operator, Namespace(API, "e2e-api") as ns:
        ns.apply(stack("s", ns.name, [gpu_tier("one", 8001, 0.2, load=3), gpu_tier("two", 8002, 0.3, load=1)]))
        until("one loads", lambda: not gated(ns.pod("s-one")))
        cluster("restart", "apiserver")
        ns.wait_ready(seconds=120)
        assert operator.alive()


@test("of two operators one acts; when it dies the other takes over within the lease, and a frozen one opens nothing", 240)
def two_operators():
    with Namespace(API, "e2e-lease") as ns:
        first = Operator(name="first", elect=QUICK_LEASE).start()
        second = Operator(name="second", elect=QUICK_LEASE).start()
        try:
            ns.apply(stack("s", ns.name, [gpu_tier("one", 8001, 0.2)]))
            ns.wait_ready()
            begun = time.monotonic()
            first.kill()
            ns.edit("s", lambda spec: spec["tiers"].append(gpu_tier("two", 8002, 0.2)))
            ns.wait_ready()
            took = time.monotonic() - begun
            print(f"        taken over and Ready again after {took:.1f} s")
            assert took < 30
            first.start()
            ns.edit("s", lambda spec: spec["tiers"].append(gpu_tier("three", 8003, 0.2, load=1)))
            second.signal(signal.SIGSTOP)
            ns.wait_ready()
            second.signal(signal.SIGCONT)
            until("the frozen leader ends", lambda: not second.alive(), 30)
            assert second.process.returncode != 0
            ns.delete()
            ns.wait_gone()
        finally:
            first.stop()
            second.stop()


def leader_of(pod):
    return pod["metadata"]["annotations"].get("inference.strix.dev/leader", "")


@test("a leader that is frozen in the middle of opening a window, and whose request arrives after the change, opens nothing", 240)
def late_request():
    def opens(method, path, body):
        return method == "PATCH" and b"schedulingGates" in body

    with Namespace(API, "e2e-late") as ns, Proxy(API) as proxy:
        first = Operator(name="frozen", kubeconfig=proxy.kubeconfig(), elect=QUICK_LEASE).start()
        second = Operator(name="successor", elect=QUICK_LEASE)
        held, release = threading.Event(), threading.Event()

        def hold(method, path, body):
            if opens(method, path, body) and not held.is_set():
                first.signal(signal.SIGSTOP)
                held.set()
                release.wait(600)

        proxy.rules.append(hold)
        try:
            ns.apply(stack("s", ns.name, [gpu_tier("one", 8001, 0.2)]))
            assert held.wait(90), "the first leader never opened the window"
            assert gated(ns.pod("s-one"))
            leader = leader_of(ns.pod("s-one"))
            second.start()
            until("the successor vouches for the pod or opens the window",
                  lambda: (lambda p: leader_of(p) != leader or not gated(p))(ns.pod("s-one")), 60)
            release.set()
            late = until("the late request is answered", lambda: [a for a in proxy.answers if opens(*a[1:4])], 30)
            assert late[0][4] == 409, late[0]
            first.signal(signal.SIGCONT)
            until("the frozen leader ends", lambda: not first.alive(), 30)
            assert first.process.returncode != 0
            ns.wait_ready()
            assert [a[4] for a in proxy.answers if opens(*a[1:4])] == [409], "it opened a window after all"
            ns.delete()
            ns.wait_gone()
        finally:
            release.set()
            first.stop()
            second.stop()
