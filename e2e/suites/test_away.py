"""Why: Kubernetes evicts pods of a node that has been silent for five minutes; a tier must outlive that. It takes longer than
all other suites, and runs when it is named.
"""
from .harness import *

API = Api()


def uids(ns):
    return {n: p["metadata"]["uid"] for n, p in ns.pods().items()}


@test("a kubelet that is away for six minutes evicts no tier", 560)
def kubelet_away():
    seconds = int(os.environ.get("STRIX_E2E_AWAY_SECONDS", "360"))
    with Operator(), Namespace(API, "e2e-away") as ns:
        ns.apply(stack("s", ns.name, [gpu_tier("one", 8001, 0.2), cpu_tier("two", 8002)]))
        ns.wait_ready()
        before = uids(ns)
        cluster("stop", "kubelet", "strix-1")
        try:
            time.sleep(seconds)
            now = ns.pods()
            assert {n: p["metadata"]["uid"] for n, p in now.items()} == before
            assert not any(p["metadata"].get("deletionTimestamp") for p in now.values()), "a tier is being evicted"
        finally:
            cluster("start", "kubelet", "strix-1")
        ns.wait_ready(seconds=90)
        assert uids(ns) == before
