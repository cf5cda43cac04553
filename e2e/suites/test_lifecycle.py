"""Why: the ways in which a stack is deleted, suspended and taken up again, and nodes that come and go."""
from .harness import *

API = Api()


@test("delete in foreground, background and orphan mode; delete and apply again at once; suspend and resume")
def deletes():
    with Operator(), Namespace(API, "e2e-delete") as ns:
        wanted = stack("s", ns.name, [gpu_tier("one", 8001, 0.2), gpu_tier("two", 8002, 0.3)])
        for mode in ("Foreground", "Background"):
            ns.apply(wanted)
            ns.wait_ready()
            ns.delete(propagation=mode)
            ns.wait_gone()
            until(f"{mode}: no pods", lambda: not ns.pods(), 30)
        ns.apply(wanted)
        ns.wait_ready()
        running = {n: p["metadata"]["uid"] for n, p in ns.pods().items()}
        ns.delete(propagation="Orphan")
        ns.wait_gone()
        assert {n: p["metadata"]["uid"] for n, p in ns.pods().items()} == running
        ns.apply(wanted)
        ns.wait_ready()
        assert {n: p["metadata"]["uid"] for n, p in ns.pods().items()} == running, "an orphan was not adopted"
        ns.delete()
        until("being deleted", lambda: (ns.api.find(stack_path(ns.name, "s")) or {"metadata": {"deletionTimestamp": 1}})["metadata"].get("deletionTimestamp"))
        ns.wait_gone()
        ns.apply(wanted)
        ns.wait_ready()
        ns.edit("s", lambda spec: spec.update(suspend=True))
        until("suspended", lambda: ns.stack()["status"]["summary"]["status"] == "Suspended" and not ns.pods(), 60)
        ns.edit("s", lambda spec: spec.update(suspend=False))
        ns.wait_ready()
        ns.delete()
        ns.wait_gone()
        until("no Services", lambda: not API.items(f"/api/v1/namespaces/{ns.name}/services"), 30)


@test("a Service follows its tier's port and annotations, and what others put on it stays")
def services():
    with Operator(), Namespace(API, "e2e-service") as ns:
        ns.apply(stack("s", ns.name, [cpu_tier("one", 8001, service={"annotations": {"a/kept": "1", "a/gone": "1"}})]))
        ns.wait_ready()
        path = f"/api/v1/namespaces/{ns.name}/services/s-one"
        API.merge(path, {"metadata": {"annotations": {"somebody/else": "2"}}})
        ns.edit("s", lambda spec: spec["tiers"][0].update(port=8002, service={"annotations": {"a/kept": "3"}}))
        until("the port", lambda: [p["port"] for p in API.get(path)["spec"]["ports"]] == [8002])
        found = API.get(path)["metadata"]["annotations"]
        assert found["a/kept"] == "3" and found["somebody/else"] == "2" and "a/gone" not in found, found
        ns.wait_ready()
        until("an answer through the new port", lambda: chat(service_address(API, ns.name, "s-one")), 10)


@test("a node that comes later wakes the stack; two that match make it wait")
def nodes_later():
    with Operator(), Namespace(API, "e2e-later") as ns:
        entry = node_entry("halo")
        entry["selector"] = {"e2e.strix.dev/role": "halo"}
        ns.apply(stack("s", ns.name, [gpu_tier("one", 8001, 0.2)], nodes=[entry]))
        until("NodeNotFound", lambda: condition(ns.stack(), "Ready")["reason"] == "NodeNotFound")
        label = lambda node, value: API.merge(f"/api/v1/nodes/{node}", {"metadata": {"labels": {"e2e.strix.dev/role": value}}})
        try:
            label("strix-1", "halo")
            label("strix-2", "halo")
            until("NodeAmbiguous", lambda: condition(ns.stack(), "Ready")["reason"] == "NodeAmbiguous")
            label("strix-2", None)
            ns.wait_ready()
        finally:
            label("strix-1", None)
            label("strix-2", None)
