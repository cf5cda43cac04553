"""Why: what is known to crash is refused in the same words everywhere, and a person may know better while it all runs."""
from .harness import *

API = Api()
NAME = "strix-capabilities"
MAP = f"/api/v1/namespaces/strix-system/configmaps/{NAME}"
WORKS = """combinations:
- where: {engine: vllm, gfxTargets: [gfx1151]}
  quantizations: [fp8]
  verdict: Works
  reason: the stand-in computes nothing
  source: this suite
  date: "2026-11"
"""


def put(text):
    API.apply(MAP, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME, "namespace": "strix-system"},
                    "data": {"capabilities.yaml": text}})


def tier(ns, name):
    return next((t for t in ns.stack().get("status", {}).get("tiers", []) if t["name"] == name), {})


def metric(operator, name):
    return next((float(line.split()[-1]) for line in operator.get("/metrics")[1].splitlines() if line.startswith(name + " ")), None)


def validated(obj):
    done = subprocess.run([os.path.join(BUILD, "strix-operator"), "validate", "-f", "-"], input=json.dumps(obj), text=True, capture_output=True)
    assert done.returncode == 1, done
    return done.stderr.strip().split("quantization: ", 1)[1]


@test("a combination that is known to crash is refused in validate's words, and a ConfigMap may know better", 240)
def overrides():
    API.delete(MAP)
    obj = stack("s", "e2e-capabilities", [gpu_tier("one", 8001), gpu_tier("two", 8002, quantization="fp8")])
    words = validated(obj)
    with Operator("--capabilities-config-map", NAME) as operator, Namespace(API, "e2e-capabilities") as ns:
        ns.apply(obj)
        until("two is refused", lambda: tier(ns, "two").get("reason") == "CombinationRefused", 20)
        assert tier(ns, "two")["message"] == words, (tier(ns, "two"), words)
        until("one serves", lambda: tier(ns, "one").get("state") == "Ready", 60)
        assert condition(ns.stack(), "Stalled")["message"] == words
        assert "s-two" not in ns.pods()
        uid = ns.pods()["s-one"]["metadata"]["uid"]

        put(WORKS)
        begun = time.monotonic()
        until("two has a pod", lambda: "s-two" in ns.pods(), 10)
        print(f"        a row of one's own is in force after {time.monotonic() - begun:.1f} s")
        ns.wait_ready("s", 60)
        assert metric(operator, "strix_capability_override_rows") == 1

        put("combinations:\n- {where: {engine: vlm}}\n")
        until("the table is refused", lambda: metric(operator, "strix_capability_override_valid") == 0, 10)
        told = until("the event", lambda: [e for e in API.items("/apis/events.k8s.io/v1/namespaces/strix-system/events")
                                           if e["regarding"]["name"] == NAME and e["reason"] == "CapabilitiesRefused"], 10)
        assert "combinations[0].where.engine: none of vllm, llamacpp" in told[-1]["note"], told[-1]
        assert metric(operator, "strix_capability_override_rows") == 1 and is_ready(ns.stack())

        API.delete(MAP)
        until("two says that it would not be started again",
              lambda: tier(ns, "two").get("message", "").endswith("serves, and would not be started again: " + words), 10)
        assert is_ready(ns.stack()) and not condition(ns.stack(), "Stalled")
        assert ns.pods()["s-one"]["metadata"]["uid"] == uid
