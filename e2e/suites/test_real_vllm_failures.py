"""Why: the ways in which the real vLLM fails, each brought about for real: what class the operator makes of it, and what a
person reads in `kubectl describe`. And a drain under the load of vLLM's own benchmark."""
from .real import *

# name, what brings it about, the class, what describe has to say. Unknown to the planner, so that the engine gets as far.
CASES = [
    ("fraction-too-large", {"memory": {"gpuFraction": 0.94}}, "StartupBudgetExceeded", r"of 10\.0 GiB available; .*the fraction is too large"),
    ("fraction-too-small", {"memory": {"gpuFraction": 0.05}}, "FractionTooSmall", r"nothing is left of the fraction .*raise memory\.gpuFraction"),
    ("cache-too-large", {"memory": {"kvCache": "20Gi"}, "unified": "64Gi"}, "KvCacheTooLarge", r"wants 20\.0 GiB and .* of 10\.0 GiB are available; lower it"),
    ("beyond-the-model", {"context": 65536}, "ContextBeyondModel", r"65536 is more than the 32768.* tokens that the model was trained for; lower it"),
    ("unknown-flag", {"extra": ("--no-such-flag",)}, "FlagMismatch", r"does not know --no-such-flag; take it out of extraArgs"),
    # Its processes talk through shared memory in chunks, ten of them, and this is more than a pod's /dev/shm has.
    ("shared-memory", {"env": [{"name": "VLLM_MQ_MAX_CHUNK_BYTES_MB", "value": "256"}]}, "SharedMemoryTooSmall",
     r"wants \d+ MiB of shared memory and 1024 are free.*lower VLLM_MQ_MAX_CHUNK_BYTES_MB"),
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
            how.setdefault("memory", {"gpuFraction": 0.2})
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


@test("a context for which the cache is too small is tried again with the length that the engine estimates, and serves", 600)
def context_too_large():
    small_node()
    with Operator(), Namespace(API, "e2e-real-context") as ns:
        # Half of its KV heads are told, so each token takes twice of what the plan counts with.
        tier = vllm_tier("one", 8001, "auto", facts=False, memory={"kvCache": "64Mi"})
        tier["model"]["facts"] = {**FACTS, "kvHeads": KV_HEADS // 2}
        ns.apply(real_stack("s", ns.name, [tier]))
        status = wait_tier(ns, "one", "ContextTooLarge", lambda t: t.get("lastFailure", {}).get("class") == "ContextTooLarge", 200)
        print(f"        {status['lastFailure']['message']}")
        estimate = int(re.search(r"says that (\d+) tokens fit", status["lastFailure"]["message"]).group(1))
        fits = estimate // 1024 * 1024
        assert f"{estimate} tokens fit" in describe(ns)
        ready = wait_tier(ns, "one", "Ready", lambda t: t["state"] == "Ready")
        assert ready["contextLength"] == fits and ready["restarts"] == 1, (ready, estimate)
        served = json.loads(ask((ns.pod("s-one")["status"]["podIP"], 8001), "/v1/models")[1])["data"][0]["max_model_len"]
        assert served == fits, (served, estimate)
        print(f"        refused {ns.stack()['status']['learned'][0]['context']['refused']}, serves {served}")


@test("an engine whose core or worker is killed ends, by itself and with exit code 0 where it served, and comes back", 900)
def killed():
    small_node()
    with Operator(), Namespace(API, "e2e-real-killed") as ns:
        ns.apply(real_stack("s", ns.name, [vllm_tier("one", 8001)]))
        worker = until("the worker loads", lambda: process_named(ns.pod("s-one"), "VLLM::Worker", 1), 120)
        os.kill(worker, signal.SIGKILL)
        status = wait_tier(ns, "one", "a failure", lambda t: t.get("lastFailure"), 120)
        assert status["lastFailure"]["class"] == "WorkerDied", status
        print(f"        in its load: {status['lastFailure']['message']}")
        for part, failure_class in (("VLLM::EngineCor", "EngineDied"), ("VLLM::Worker", "WorkerDied")):
            ns.wait_ready(seconds=START_SECONDS)
            before = tier_status(ns.stack(), "one")["restarts"]
            os.kill(process_named(ns.pod("s-one"), part), signal.SIGKILL)
            status = wait_tier(ns, "one", "a restart", lambda t: t.get("restarts", 0) > before, 120)
            print(f"        {part} when ready: {status['lastFailure']['class']}: {status['lastFailure']['message']}")
            assert status["lastFailure"]["class"] == failure_class and "exit code 0" in status["lastFailure"]["message"], status
        ns.wait_ready(seconds=START_SECONDS)


BENCH = """vllm bench serve --backend openai --base-url http://{0}:{1} --endpoint /v1/completions --model one --tokenizer /models/{2}
 --dataset-name random --random-input-len 32 --random-output-len 96 --ignore-eos --num-prompts 200 --request-rate 3 --seed 1
 --save-result --save-detailed --result-dir /tmp --result-filename bench.json --disable-tqdm && echo BENCH && cat /tmp/bench.json"""


@test("under vLLM's own benchmark a change of context drains, restarts and serves, and no request accepted before is lost", 900)
def bench():
    small_node()
    with Operator(), Namespace(API, "e2e-real-bench") as ns:
        ns.apply(real_stack("s", ns.name, [vllm_tier("one", 8001, 8192, maxSequences=8, drainTimeoutSeconds=60)]))
        ns.wait_ready(seconds=START_SECONDS)
        command = BENCH.format(*service_address(API, ns.name, "s-one"), MODEL).replace("\n", "")
        container = {"name": "bench", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", command],
                     "env": [{"name": "HF_HUB_OFFLINE", "value": "1"}, {"name": "OMP_NUM_THREADS", "value": "1"}],
                     "volumeMounts": [{"name": "models", "mountPath": "/models", "readOnly": True}]}
        API.call("POST", pods_path(ns.name), {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bench"}, "spec": {
            "restartPolicy": "Never", "nodeSelector": {"kubernetes.io/hostname": "strix-1"}, "containers": [container],
            "volumes": [{"name": "models", "hostPath": {"path": MODELS}}]}})
        address = (ns.pod("s-one")["status"]["podIP"], 8001)

        def finished(text):
            return sum(float(l.split()[-1]) for l in text.splitlines() if l.startswith("vllm:request_success_total{"))

        before = finished(ask(address, "/metrics")[1])
        until("a third of the requests is answered", lambda: finished(ask(address, "/metrics")[1]) - before > 60, 300, every=0.5)
        ns.edit("s", lambda spec: spec["tiers"][0].update(contextLength=4096))
        drained = until("draining", lambda: not serving(ns.pod("s-one")) and time.monotonic(), 30)  # the bench has the same clock
        until("the bench ends", lambda: ns.pod("bench")["status"].get("phase") in ("Succeeded", "Failed"), 600, every=1)
        log = engine_log(ns.name, "bench")
        assert "\nBENCH\n" in log, log[-3000:]
        result = json.loads(log.split("\nBENCH\n", 1)[1])
        errors = [(start, e) for start, e in zip(result["start_times"], result["errors"]) if e]
        turned_away = [e for _, e in errors if "Cannot connect to host" in e]
        lost = [(start, e[-300:]) for start, e in errors if "Cannot connect to host" not in e]
        before = [(start, e) for start, e in lost if start < drained]
        # A connection that a client keeps alive leads past the Service to the pod, and what comes on one during the drain may be cut.
        print(f"        {result['completed']} of {result['num_prompts']} answered, {sum(s < drained for s in result['start_times'])} of them sent before "
              f"the drain; lost {len(before)} of these, and {len(lost) - len(before)} that came during the drain on connections kept alive; "
              f"{len(turned_away)} found nobody")
        assert not before, before[:3]
        assert result["completed"] + len(turned_away) + len(lost) == 200 and turned_away, result["completed"]
        ready = ns.wait_ready(seconds=START_SECONDS)
        assert tier_status(ready, "one")["contextLength"] == 4096, tier_status(ready, "one")
