"""Why: the main job on a real cluster: four tiers in order, one at a time, and nothing left behind."""
from .harness import *

API = Api()


@test("four tiers come up in order, each after the one before has answered health and a completion")
def four_tiers():
    with Operator(), Namespace(API, "e2e-four") as ns:
        with Recording(API, pods_path(ns.name)) as seen:
            ns.apply(stack("s", ns.name, [gpu_tier("orchestrator", 8001, 0.35), gpu_tier("coder", 8002, 0.55, startAfter=["orchestrator"]),
                                          cpu_tier("reviewer", 8011), cpu_tier("utility", 8012)]))
            ready = ns.wait_ready()
            order_is_proved(seen, ns.name, ["s-orchestrator", "s-coder", "s-reviewer", "s-utility"])
        assert ready["status"]["summary"]["ready"] == "4/4", ready["status"]["summary"]
        log = ns.engine_log()
        answered = {e["model"]: e["time_ms"] for e in log if e["what"] == "first_completion_answer"}
        started = {e["model"]: e["time_ms"] for e in log if e["what"] == "start"}
        assert answered["orchestrator"] <= started["coder"], log
        assert tier_status(ready, "utility")["contextLength"] == 2048, tier_status(ready, "utility")
        until("a chat answer through the Service", lambda: chat(service_address(API, ns.name, "s-utility")), 10)
        ns.delete()
        ns.wait_gone()
        assert not ns.pods(), ns.pods().keys()
        until("the Services are gone", lambda: not [s for s in API.items(f"/api/v1/namespaces/{ns.name}/services")], 30)


@test("two stacks on one node share one load window")
def two_stacks():
    with Operator(), Namespace(API, "e2e-two") as ns:
        with Recording(API, pods_path(ns.name)) as seen:
            ns.apply(stack("a", ns.name, [gpu_tier("one", 8001, 0.2, load=1.5)]))
            ns.apply(stack("b", ns.name, [gpu_tier("two", 8002, 0.2, load=1.5)]))
            ns.wait_ready("a")
            ns.wait_ready("b")
            spans = [(seen.first(n, lambda p: not gated(p)), seen.first(n, serving)) for n in ("a-one", "b-two")]
        first, second = sorted(spans)
        assert first[1] <= second[0], spans


@test("one stack over two nodes uses the window of each at the same time")
def two_nodes():
    with Operator(), Namespace(API, "e2e-nodes") as ns:
        nodes = [node_entry("left", "strix-1"), node_entry("right", "strix-2")]
        with Recording(API, pods_path(ns.name)) as seen:
            ns.apply(stack("s", ns.name, [gpu_tier("one", 8001, 0.2, load=2, node="left", env={"STRIX_STANDIN_POOL": "/cache/e2e-nodes-left"}),
                                          gpu_tier("two", 8002, 0.2, load=2, node="right", env={"STRIX_STANDIN_POOL": "/cache/e2e-nodes-right"})],
                           nodes=nodes))
            ns.wait_ready()
            spans = [(seen.first(n, lambda p: not gated(p)), seen.first(n, serving)) for n in ("s-one", "s-two")]
        assert max(s[0] for s in spans) < min(s[1] for s in spans), spans


@test("a tier that never gets healthy holds the rest, and status says for what")
def never_healthy():
    with Operator(), Namespace(API, "e2e-never") as ns:
        ns.apply(stack("s", ns.name, [gpu_tier("one", 8001, 0.2, env={"STRIX_STANDIN_DIE": "never-ready"}), gpu_tier("two", 8002, 0.3)]))
        waiting = until("two says what it waits for", lambda: (lambda t: "one (Starting since" in t["message"] and t)(tier_status(ns.stack(), "two")))
        assert waiting["state"] == "Waiting" and waiting["reason"] == "Predecessor", waiting
        never("two was let in", lambda: not gated(ns.pod("s-two")), 4)
        assert kstatus(ns.stack()) == "InProgress"
        ns.edit("s", lambda spec: spec.update(suspend=True))
        until("the loading tier was aborted", lambda: not ns.pods(), 60)
        until("suspended", lambda: ns.stack()["status"]["summary"]["status"] == "Suspended")
        assert kstatus(ns.stack()) == "Current"


@test("a loading tier is aborted by an edit and by delete")
def aborts():
    with Operator(), Namespace(API, "e2e-abort") as ns:
        ns.apply(stack("s", ns.name, [gpu_tier("one", 8001, 0.2, load=600)]))
        before = until("one loads", lambda: (lambda p: p and not gated(p) and p)(ns.pod("s-one")))["metadata"]["uid"]
        ns.edit("s", lambda spec: spec["tiers"][0].update(contextLength=4096))
        until("a new pod loads", lambda: (lambda p: p and p["metadata"]["uid"] != before and not gated(p))(ns.pod("s-one")), 60)
        ns.delete()
        ns.wait_gone()
        assert not ns.pods()


@test("an engine that dies, by a signal or with exit code 0, comes back in the window and leaves the others alone")
def deaths():
    with Operator(), Namespace(API, "e2e-death") as ns:
        ns.apply(stack("s", ns.name, [gpu_tier("one", 8001, 0.2, restart={"backoffSeconds": 1}), gpu_tier("two", 8002, 0.3)]))
        ns.wait_ready()
        other = ns.pod("s-two")["metadata"]["uid"]
        for word in ("sigkill", "exit0"):
            before = ns.pod("s-one")["metadata"]["uid"]
            ns.control("one", word)
            until(f"{word}: a new pod serves", lambda: (lambda p: p and p["metadata"]["uid"] != before and serving(p))(ns.pod("s-one")), 60)
            ns.wait_ready()
        assert ns.pod("s-two")["metadata"]["uid"] == other
        one = tier_status(ns.stack(), "one")
        assert one["restarts"] == 2 and one["lastFailure"]["class"] == "Exited", one


@test("a privileged GPU tier opens the device, a CPU tier cannot")
def passthrough():
    with Operator(), Namespace(API, "e2e-device") as ns:
        ns.apply(stack("s", ns.name, [gpu_tier("gpu", 8001, 0.2), cpu_tier("cpu", 8002)]))
        ns.wait_ready()
        opened = kubectl("-n", ns.name, "exec", "s-gpu", "--", "sh", "-c", f"exec 3<>{DEVICES}/kfd && echo opened", check=False)
        assert opened.stdout.strip() == "opened", opened.stderr
        refused = kubectl("-n", ns.name, "exec", "s-cpu", "--", "sh", "-c", f"ls {DEVICES}/kfd /dev/kfd", check=False)
        assert refused.returncode != 0, refused.stdout
