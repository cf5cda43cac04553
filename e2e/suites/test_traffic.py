"""Why: what a client sees of a tier through its Service while the tier loads, serves, drains and is replaced."""
from .client import Client
from .harness import *

API = Api()


@test("a client that asks all the time is never answered by a tier that loads, drains or is replaced", 300)
def asking():
    with Operator(), Namespace(API, "e2e-traffic") as ns:
        ns.apply(stack("s", ns.name, [gpu_tier("gpu", 8001, 0.2, load=2, servedModelName="any"), cpu_tier("cpu", 8002, servedModelName="any")]))
        addresses = [until(name, lambda name=name: service_address(API, ns.name, name)) for name in ("s-gpu", "s-cpu")]
        with Client(addresses[0]) as gpu, Client(addresses[1]) as cpu:
            ns.wait_ready()
            for context in (4096, 1024):
                for client in (gpu, cpu):
                    seen = client.answered
                    until("the client is answered", lambda: client.answered > seen + 5, 30)
                generation = ns.edit("s", lambda spec: [t.update(contextLength=context) for t in spec["tiers"]])["metadata"]["generation"]
                until("replaced", lambda: (lambda o: is_ready(o) and o["status"]["observedGeneration"] == generation)(ns.stack()), 120)
            ns.edit("s", lambda spec: spec.update(suspend=True))
            until("suspended", lambda: not ns.pods(), 60)
        print(f"        gpu: {gpu.answered} answered, {gpu.refused} found nobody; cpu: {cpu.answered} answered, {cpu.refused} found nobody")
        assert not gpu.wrong and not cpu.wrong, f"gpu: {gpu.wrong[:5]} ({len(gpu.wrong)}), cpu: {cpu.wrong[:5]} ({len(cpu.wrong)})"
        assert gpu.refused and cpu.refused and gpu.answered and cpu.answered


@test("with an extended resource a tier asks for it, waits until the node has it, and is not privileged")
def extended_resource():
    resource = "e2e.strix.dev/dri"
    with Operator(privileged=False), Namespace(API, "e2e-extended") as ns:
        node = node_entry()
        node["devices"] = {"strategy": "ExtendedResource", "resourceName": resource, "supplementalGroups": [44, 991]}
        try:
            ns.apply(stack("s", ns.name, [gpu_tier("one", 8001, 0.2, env={"STRIX_STANDIN_DEVICE": ""})], nodes=[node]))
            until("it says what the node lacks", lambda: resource in tier_status(ns.stack(), "one")["message"])
            assert gated(ns.pod("s-one"))
            cluster("advertise", "strix-1", resource, "4")
            ns.wait_ready()
            spec = ns.pod("s-one")["spec"]
            container = spec["containers"][0]
            assert container["resources"]["limits"][resource] == "1", container["resources"]
            assert not container.get("securityContext", {}).get("privileged"), container["securityContext"]
            assert spec["securityContext"]["supplementalGroups"] == [44, 991], spec["securityContext"]
        finally:
            cluster("advertise", "strix-1", resource, "0")
