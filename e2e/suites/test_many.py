"""Why: the load window is a node's, and nothing waits for another node's."""
from .harness import *
from .played_node import PlayedNode

API = Api()


def spans(events, uids_before=()):
    """For each node: when a pod was let in and when it served, in order."""
    opened, found = {}, {}
    for when, kind, pod in events:
        uid = pod["metadata"]["uid"]
        if uid in uids_before or kind == "DELETED":
            continue
        node = pod["metadata"]["annotations"].get("inference.strix.dev/node", "")
        if not gated(pod):
            opened.setdefault(uid, when)
        if uid in opened and serving(pod) and uid not in [u for u, _, _ in found.get(node, [])]:
            found.setdefault(node, []).append((uid, opened[uid], when))
    return {node: sorted((begin, end) for _, begin, end in of_node) for node, of_node in found.items()}


def check(found, nodes, at_once):
    assert set(found) == set(nodes), found.keys()
    for node, of_node in found.items():
        assert all(a[1] <= b[0] for a, b in zip(of_node, of_node[1:])), f"two windows at once on {node}: {of_node}"
    moments = [begin for of_node in found.values() for begin, _ in of_node]
    most = max(sum(any(begin <= m <= end for begin, end in of_node) for of_node in found.values()) for m in moments)
    begun, ended = min(moments), max(end for of_node in found.values() for _, end in of_node)
    alone = sum(end - begin for of_node in found.values() for begin, end in of_node)
    print(f"        {len(moments)} loads on {len(found)} nodes in {ended - begun:.1f} s, {alone:.1f} s of loading; {most} windows open at once")
    assert most >= at_once, most


@contextlib.contextmanager
def played(count):
    with contextlib.ExitStack() as all_of_them:
        for i in range(1, count + 1):
            all_of_them.enter_context(PlayedNode(API, f"played-{i}", f"172.31.77.{i}"))
        yield ["strix-1"] + [f"played-{i}" for i in range(1, count + 1)]


@test("ten stacks on ten nodes start and roll at once, and nothing waits for another node's window", 400)
def ten_nodes():
    with Operator() as operator, played(9) as nodes, Namespace(API, "e2e-ten") as ns:
        names = [f"s{i}" for i in range(10)]
        with Recording(API, pods_path(ns.name)) as seen:
            for name, node in zip(names, nodes):
                ns.apply(stack(name, ns.name, [gpu_tier("one", 8001, 0.2, load=1.5), gpu_tier("two", 8002, 0.3, load=1.5)], nodes=[node_entry(node=node)]))
            for name in names:
                ns.wait_ready(name, 120)
            check(spans(list(seen.events)), nodes, 6)
        before = {p["metadata"]["uid"] for p in ns.pods().values()}
        with Recording(API, pods_path(ns.name)) as seen:
            for name in names:
                ns.edit(name, lambda spec: [t.update(contextLength=4096) for t in spec["tiers"]])
            for name in names:
                until(f"{name} is rolled", lambda: (lambda o: is_ready(o) and all(t["contextLength"] == 4096 for t in o["status"]["tiers"]))(ns.stack(name)), 150)
            check(spans(list(seen.events), before), nodes, 6)
        for name in names:
            ns.delete(name)
        for name in names:
            ns.wait_gone(name)
        assert operator.alive()


@test("one stack over three nodes loads on all three at once", 300)
def three_nodes():
    with Operator(), played(2) as nodes, Namespace(API, "e2e-three") as ns:
        entries = [node_entry(name, node) for name, node in zip(("left", "middle", "right"), nodes)]
        tiers = [gpu_tier(f"{word}{name}", port, 0.2, load=1.5, node=name) for name in ("left", "middle", "right")
                 for word, port in (("a", 8001), ("b", 8002))]
        for i, tier in enumerate(tiers):
            tier["port"] = 8001 + i
        with Recording(API, pods_path(ns.name)) as seen:
            ns.apply(stack("s", ns.name, tiers, nodes=entries))
            ns.wait_ready(seconds=120)
            check(spans(list(seen.events)), nodes, 3)
        ns.delete()
        ns.wait_gone()
