"""Why: a spec that changes under load: what runs is changed in small steps, within the bounds at every moment."""
from .client import Client
from .harness import *

API = Api()
GIB = 1 << 30


@test("a context that is changed under load: requests that were accepted finish, none is lost", 300)
def under_load():
    with Operator(), Namespace(API, "e2e-load") as ns:
        ns.apply(stack("s", ns.name, [gpu_tier("gpu", 8001, 0.2, servedModelName="any"),
                                      cpu_tier("cpu", 8002, servedModelName="any", contextLength=4096, maxSequences=2)]))
        ns.wait_ready()
        addresses = [service_address(API, ns.name, name) for name in ("s-gpu", "s-cpu")]
        with contextlib.ExitStack() as clients:
            # The stand-in takes 5 ms for a token: its requests last for two seconds.
            asking = [clients.enter_context(Client(address, tokens)) for address, tokens in zip(addresses * 2, (400, 60) * 2)]
            for context in (2048, 4096):
                until("every client is answered", lambda: all(r.answered for r in asking), 60)
                generation = ns.edit("s", lambda spec: [t.update(contextLength=context) for t in spec["tiers"]])["metadata"]["generation"]
                until("replaced", lambda: (lambda o: is_ready(o) and o["status"]["observedGeneration"] == generation)(ns.stack()), 180)
                seen = [r.answered for r in asking]
                until("every client is answered again", lambda: all(r.answered > n for r, n in zip(asking, seen)), 60)
        print(f"        answered {[r.answered for r in asking]}, found nobody {[r.refused for r in asking]}")
        assert not any(r.wrong for r in asking), [r.wrong[:3] for r in asking]


def sampler(namespace):
    """A pod that prints the pool file of a namespace ten times a second."""
    loop = f"while :; do vllm pool --file /cache/{namespace}; sleep 0.1; done"
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "sampler", "namespace": namespace},
            "spec": {"nodeSelector": {"kubernetes.io/hostname": "strix-1"}, "terminationGracePeriodSeconds": 0,
                     "containers": [{"name": "c", "image": "localhost/strix-e2e/vllm-standin:latest", "imagePullPolicy": "IfNotPresent",
                                     "command": ["sh", "-c", loop], "volumeMounts": [{"name": "pool", "mountPath": "/cache"}]}],
                     "volumes": [{"name": "pool", "hostPath": {"path": POOLS}}]}}


def claims(events):
    """After each event, the GPU fractions of all pods that were let in and are not gone, added up."""
    held, sums = {}, []
    for when, kind, pod in events:
        name, annotations = pod["metadata"]["name"], pod["metadata"].get("annotations", {})
        ended = kind == "DELETED" or pod["status"].get("phase") in ("Failed", "Succeeded")
        if "inference.strix.dev/claim" not in annotations:
            continue
        held[name] = 0 if ended or gated(pod) else json.loads(annotations["inference.strix.dev/claim"]).get("gpuFractionMilli", 0)
        sums.append((when, sum(held.values())))
    return sums


@test("two tiers swap fractions 0.35 and 0.60 in one apply, and at no sampled moment is a bound broken", 300)
def swap():
    with Operator(), Namespace(API, "e2e-swap") as ns:
        def tiers(one, two):
            return [gpu_tier("one", 8001, one, load=2, weights_gib=20), gpu_tier("two", 8002, two, load=2, weights_gib=20)]
        ns.apply(stack("s", ns.name, tiers(0.35, 0.60)))
        ns.wait_ready()
        API.call("POST", pods_path(ns.name), sampler(ns.name))
        until("the sampler runs", lambda: kubectl("-n", ns.name, "logs", "sampler").stdout)
        uids = {n: p["metadata"]["uid"] for n, p in ns.pods().items()}
        with Recording(API, pods_path(ns.name)) as seen:
            ns.apply(stack("s", ns.name, tiers(0.60, 0.35)))
            until("both are replaced", lambda: all(ns.pod(n)["metadata"]["uid"] != uids[n] for n in ("s-one", "s-two")), 120)
            ns.wait_ready()
        samples = [json.loads(line) for line in kubectl("-n", ns.name, "logs", "sampler").stdout.splitlines()]
        most = max(s["used"] for s in samples)
        fractions = max(total for _, total in claims(seen.events))
        print(f"        {len(samples)} samples: at most {most / GIB:.1f} GiB of {samples[0]['total'] / GIB:.0f}; fractions at most {fractions / 1000:.2f}")
        assert len(samples) >= 30 and fractions <= 950, fractions
        assert most <= samples[0]["total"] * 0.95, most
        loading = ("importing", "snapshot", "loading", "profiling", "allocating")
        loads = [s for s in samples if sum(e["alive"] and e["phase"] in loading for e in s["entries"]) > 1]
        assert not loads, loads[:2]
        API.delete(f"{pods_path(ns.name)}/sampler", grace=0)


@test("a change that needs no new pod makes none, and an edit in the middle of a rollout is the one that counts", 300)
def edits():
    with Operator(), Namespace(API, "e2e-edit") as ns:
        ns.apply(stack("s", ns.name, [gpu_tier("one", 8001, 0.2, load=2), gpu_tier("two", 8002, 0.3, load=2), cpu_tier("three", 8011)]))
        ns.wait_ready()
        uids = {n: p["metadata"]["uid"] for n, p in ns.pods().items()}

        def harmless(spec):
            spec["tiers"][0].update(priority=90, drainTimeoutSeconds=33, restart={"backoffSeconds": 7})
            spec["tiers"][1].update(startAfter=["one"])
            spec["tiers"][2].update(probe={"startupDeadlineSeconds": 900})
        generation = ns.edit("s", harmless)["metadata"]["generation"]
        until("it is seen", lambda: ns.stack()["status"]["observedGeneration"] == generation)
        ns.wait_ready()
        assert {n: p["metadata"]["uid"] for n, p in ns.pods().items()} == uids, "a pod was made again"
        ns.edit("s", lambda spec: spec["tiers"][0].update(contextLength=4096))
        until("one is being replaced", lambda: (lambda p: p is None or p["metadata"]["uid"] != uids["s-one"])(ns.pod("s-one")), 60)
        ns.edit("s", lambda spec: spec["tiers"][0].update(contextLength=2048))
        ready = ns.wait_ready()
        assert tier_status(ready, "one")["contextLength"] == 2048, tier_status(ready, "one")
        assert ns.pod("s-two")["metadata"]["uid"] == uids["s-two"] and ns.pod("s-three")["metadata"]["uid"] == uids["s-three"]


@test("a rollout that fails half-way leaves the tiers that worked running, and says so", 300)
def half_way():
    with Operator(), Namespace(API, "e2e-half") as ns:
        ns.apply(stack("s", ns.name, [gpu_tier("one", 8001, 0.2), gpu_tier("two", 8002, 0.3), cpu_tier("three", 8011)]))
        ns.wait_ready()
        three = ns.pod("s-three")["metadata"]["uid"]
        ns.control("one", "flag-mismatch")
        ns.edit("s", lambda spec: [t.update(contextLength=4096) for t in spec["tiers"][:2]])
        until("one is given up", lambda: tier_status(ns.stack(), "one")["state"] == "GivenUp", 90)
        until("two serves again, as it was changed", lambda: (lambda t: t["state"] == "Ready" and t["contextLength"] == 4096)(tier_status(ns.stack(), "two")), 90)
        seen = ns.stack()
        assert ns.pod("s-three")["metadata"]["uid"] == three
        assert seen["status"]["summary"]["ready"] == "2/3" and seen["status"]["summary"]["status"] == "GivenUp: one", seen["status"]["summary"]
        print(f"        {condition(seen, 'Stalled')['message']}")
