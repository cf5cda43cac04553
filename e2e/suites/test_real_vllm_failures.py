"""Why: the ways in which the real vLLM fails, each brought about for real: what class the operator makes of it, and what a
person reads in `kubectl describe`."""
from .real import *

# name, what brings it about, the class, what describe has to say. Unknown to the planner, so that the engine gets as far.
CASES = [
    ("fraction-too-large", {"memory": {"gpuFraction": 0.94}}, "StartupBudgetExceeded", r"of 10\.0 GiB available; .*the fraction is too large"),
    ("fraction-too-small", {"memory": {"gpuFraction": 0.05}}, "FractionTooSmall", r"nothing is left of the fraction .*raise memory\.gpuFraction"),
    ("cache-too-large", {"memory": {"kvCache": "20Gi"}, "unified": "64Gi"}, "KvCacheTooLarge", r"wants 20\.0 GiB and .* of 10\.0 GiB are available; lower it"),
    ("beyond-the-model", {"context": 65536}, "ContextBeyondModel", r"65536 is more than the 32768.* tokens that the model was trained for; lower it"),
    ("unknown-flag", {"extra": ("--no-such-flag",)}, "FlagMismatch", r"does not know --no-such-flag; take it out of extraArgs"),
    ("missing-model", {"model": {"repository": "tiny/nobody"}}, "ModelMissing", r"not in the model store"),
]


@test("each of vLLM's failures is classified, and kubectl describe says the way out", 1500)
def failures():
    small_node()
    wrong = []
    with Operator(), Namespace(API, "e2e-real-fail") as ns:
        for name, how, failure_class, sentence in CASES:
            how = dict(how)
            unified = how.pop("unified", f"{NODE_GIB}Gi")
            ns.apply(real_stack("s", ns.name, [vllm_tier("one", 8001, facts=False, **{"restart": {"backoffSeconds": 300}, **how})], unified=unified))
            try:
                status = wait_tier(ns, "one", name, lambda t: t.get("lastFailure"), 200)
                found, text = status["lastFailure"], describe(ns)
                print(f"        {name}: {found['class']}: {found['message']}")
                if found["class"] != failure_class or not re.search(sentence, text, re.S):
                    wrong.append(f"{name}: {found}; the log ends: {engine_log(ns.name, 's-one')[-600:]}")
            except AssertionError as error:
                wrong.append(f"{name}: {error}; {tier_status(ns.stack(), 'one')}")
            ns.delete()
            ns.wait_gone(seconds=120)
    assert not wrong, "\n        ".join(wrong)
