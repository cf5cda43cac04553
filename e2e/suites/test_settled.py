"""Why: what has settled, in whatever state, costs nothing: no request, no log line, no event, until something changes."""
from .harness import *

API = Api()

# What a serving tier is used for is told in status, where anything of it changed, once in ten minutes.
FIGURES = "patch inferencestacks/status 200"


def asked(audit):
    return {k: n for k, n in audit.table().items() if not k.startswith("watch ") and " leases " not in k}


@test("stacks that are parked, backing off, quarantined, given up, suspended or invalid cost nothing while they stay so", 300)
def at_rest():
    seconds = int(os.environ.get("STRIX_E2E_REST_SECONDS", "60"))
    with Operator() as operator, Namespace(API, "e2e-rest") as ns:
        other = {"model": {"repository": "nobody/unheard-of-coder"}}
        ns.control("failing", "worker-died")
        ns.control("misled", "flag-mismatch")
        ns.apply(stack("parked", ns.name, [gpu_tier("first", 8001, 0.5), gpu_tier("second", 8002, 0.5)], tuning={"mode": "Off"}))
        ns.apply(stack("backoff", ns.name, [gpu_tier("failing", 8003, 0.1, restart={"backoffSeconds": 600, "maxBackoffSeconds": 600}, **other)]))
        ns.apply(stack("faulty", ns.name, [gpu_tier("hanging", 8004, 0.1)]))
        ns.apply(stack("givenup", ns.name, [gpu_tier("misled", 8005, 0.1)]))
        ns.apply(stack("suspended", ns.name, [gpu_tier("off", 8006, 0.1)], suspend=True))
        ns.apply(stack("invalid", ns.name, [gpu_tier("one", 8007, 0.1, startAfter=["two"]), gpu_tier("two", 8008, 0.1, startAfter=["one"])]))
        ns.wait_ready("faulty", 120)
        ns.control("hanging", "gpu-fault")
        words = {"parked": "Parked: second", "backoff": "BackOff: failing", "faulty": "Quarantined: hanging", "givenup": "GivenUp: misled",
                 "suspended": "Suspended", "invalid": "Invalid"}
        for name, word in words.items():
            until(f"{name} says {word}", lambda: ns.stack(name)["status"]["summary"]["status"] == word, 120)
        time.sleep(5)
        lines, audit, versions = len(operator.log_lines()), Audit("strix-operator/"), {n: ns.stack(n)["metadata"]["resourceVersion"] for n in words}
        time.sleep(seconds)
        print(f"        asked of the API server in {seconds} s: {audit.table()}")
        assert not asked(audit), asked(audit)
        assert len(operator.log_lines()) == lines, operator.log_lines()[lines:]
        assert {n: ns.stack(n)["metadata"]["resourceVersion"] for n in words} == versions


@test("settled stacks with requests flowing cost nothing but lease and watches, and where they are observed a figure in ten minutes", 600)
def settled():
    seconds = int(os.environ.get("STRIX_E2E_SETTLED_SECONDS", "120"))
    with Operator() as operator, Namespace(API, "e2e-settled") as ns:
        ns.apply(stack("s", ns.name, [gpu_tier("one", 8001, 0.2, servedModelName="any"), cpu_tier("two", 8002)]))
        ns.apply(stack("quiet", ns.name, [cpu_tier("three", 8003)], tuning={"mode": "Off"}))
        ns.wait_ready()
        ns.wait_ready("quiet")
        time.sleep(5)
        lines, audit, version = len(operator.log_lines()), Audit("strix-operator/"), ns.stack("quiet")["metadata"]["resourceVersion"]
        addresses = [service_address(API, ns.name, name) for name in ("s-one", "s-two", "quiet-three")]
        end, answered = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            for address in addresses:
                assert chat(address, tokens=4)
                answered += 1
            time.sleep(1)
        table = asked(audit)
        print(f"        {answered} requests answered; asked of the API server: {audit.table()}")
        assert table.pop(FIGURES, 0) <= 1 + seconds // 600 and not table, table
        assert len(operator.log_lines()) == lines, operator.log_lines()[lines:]
        assert ns.stack("quiet")["metadata"]["resourceVersion"] == version
        tuned = condition(ns.stack(), "Tuned")
        assert tuned["reason"] == "Observing" and condition(ns.stack("quiet"), "Tuned") is None, tuned
