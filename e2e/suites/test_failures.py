"""Why: engines that die in each way that can be produced here; what a person reads, and what heals by itself."""
from .harness import *

API = Api()


def wait_tier(ns, name, what, wanted, seconds=60):
    return until(f"{name}: {what}", lambda: (lambda t: wanted(t) and t)(tier_status(ns.stack(), name)), seconds)


def failed(ns, name, failure_class, seconds=60):
    return wait_tier(ns, name, failure_class, lambda t: t.get("lastFailure", {}).get("class") == failure_class, seconds)


def clear(ns, value):
    API.merge(stack_path(ns.name, "s"), {"metadata": {"annotations": {"inference.strix.dev/clear-failures": value}}})


@test("what an engine says while it loads is classified, and what can heal by itself is tried again", 300)
def loading_failures():
    with Operator(), Namespace(API, "e2e-fail-load") as ns:
        # Of a known model the engine is told its KV cache, and measures nothing; these are classes of one that measures.
        quick = {"restart": {"backoffSeconds": 1, "maxBackoffSeconds": 2}, "model": {"repository": "nobody/unheard-of-coder"}}
        for word, failure_class in (("startup-budget", "StartupBudgetExceeded"), ("no-kv", "NoKvCache"),
                                    ("profiling-race", "ProfilingRace"), ("context-too-large", "ContextTooLarge"),
                                    ("worker-died", "WorkerDied"), ("no-gpu", "NoGpu"), ("oom", "GpuOutOfMemory")):
            ns.control("one", word)
            ns.apply(stack("s", ns.name, [gpu_tier("one", 8001, 0.2, **quick)]))
            status = failed(ns, "one", failure_class)
            assert "exit code" in status["lastFailure"]["message"], status
            ns.wait_ready()
            print(f"        {failure_class}: {status['lastFailure']['message']}")
            ns.delete()
            ns.wait_gone()


@test("a context that vLLM refuses is planned again with what it says would fit; a number is given up the second time", 300)
def refused_context():
    with Operator(), Namespace(API, "e2e-fail-context") as ns:
        # Half of the layers that the model has: each token takes twice of what the plan counts with.
        wrong = {"restart": {"backoffSeconds": 1, "maxBackoffSeconds": 2},
                 "model": {"repository": "Qwen/Qwen3-Coder-30B-A3B-Instruct", "facts": {"weightBytes": 4 << 30, "layers": 24, "kvHeads": 4, "headDim": 128}}}
        ns.apply(stack("s", ns.name, [gpu_tier("one", 8001, 0.2, **{**wrong, "contextLength": "auto"})]))
        seen = ns.wait_ready()
        status, learned = tier_status(seen, "one"), seen["status"]["learned"][0]["context"]
        print(f"        {status['lastFailure']['message']}; learned {learned}")
        assert status["lastFailure"]["class"] == "ContextTooLarge" and status["restarts"] == 1, status
        fits = learned["estimate"] // 1024 * 1024
        assert learned["refused"] > fits == status["contextLength"], (learned, status)
        assert f"it is planned again with {fits}" in status["lastFailure"]["message"], status
        ns.edit("s", lambda spec: spec["tiers"][0].update(contextLength=fits + 10240))
        status = wait_tier(ns, "one", "GivenUp", lambda t: t["state"] == "GivenUp")
        print(f"        {status['message']}")
        assert f"set contextLength to {fits}, or raise memory.gpuFraction" in status["message"] and status["restarts"] == 3, status
        assert ns.stack()["status"]["learned"][0]["context"]["refusals"] == 2
        ns.edit("s", lambda spec: spec["tiers"][0].update(contextLength=fits))
        seen = ns.wait_ready()
        assert tier_status(seen, "one")["contextLength"] == fits and "learned" not in seen["status"], seen["status"]


@test("an engine that is told its KV cache measures nothing, so memory that others give back cannot stop it", 120)
def told_cache():
    with Operator(), Namespace(API, "e2e-fail-told") as ns:
        ns.control("one", "profiling-race")
        ns.apply(stack("s", ns.name, [gpu_tier("one", 8001, 0.2)]))
        ns.wait_ready()
        arguments = ns.pod("s-one")["spec"]["containers"][0]["args"]
        assert "--kv-cache-memory-bytes" in arguments, arguments
        status = tier_status(ns.stack(), "one")
        assert "lastFailure" not in status and not status.get("restarts"), status


@test("what cannot heal by itself is given up with a sentence, holds nobody up, and is tried again when a person says so", 300)
def given_up():
    with Operator(), Namespace(API, "e2e-fail-hold") as ns:
        ns.control("one", "flag-mismatch")
        tiers = [gpu_tier("one", 8001, 0.2), gpu_tier("two", 8002, 0.3),
                 cpu_tier("three", 8011, extraArgs=["--no-such-flag"])]
        ns.apply(stack("s", ns.name, tiers))
        for name, failure_class in (("one", "FlagMismatch"), ("three", "FlagMismatch")):
            status = wait_tier(ns, name, "GivenUp", lambda t: t["state"] == "GivenUp")
            assert status["reason"] == failure_class, status
            print(f"        {name}: {status['message']}")
        wait_tier(ns, "two", "Ready", lambda t: t["state"] == "Ready")
        seen = ns.stack()
        assert condition(seen, "Stalled")["reason"] == "GivenUp" and kstatus(seen) == "Failed", seen["status"]["conditions"]
        assert seen["status"]["summary"]["status"] == "GivenUp: one", seen["status"]["summary"]
        uids = {n: p["metadata"]["uid"] for n, p in ns.pods().items()}
        never("a tier that was given up is tried again", lambda: {n: p["metadata"]["uid"] for n, p in ns.pods().items()} != uids, 5)
        clear(ns, "monday")
        wait_tier(ns, "one", "Ready", lambda t: t["state"] == "Ready")
        ns.edit("s", lambda spec: spec["tiers"][2].pop("extraArgs"))
        ns.wait_ready()
        assert ns.pod("s-two")["metadata"]["uid"] == uids["s-two"]


@test("a model that is not in the store is waited for, with the words that fetch it, and holds nobody up", 200)
def model_missing():
    with Operator(), Namespace(API, "e2e-fail-model") as ns:
        late = os.path.join(MODELS, "comes-later.gguf")
        with contextlib.suppress(FileNotFoundError):
            os.remove(late)
        ns.apply(stack("s", ns.name, [cpu_tier("one", 8011, model={"file": "comes-later.gguf"}), cpu_tier("two", 8012)]))
        status = wait_tier(ns, "one", "ModelMissing", lambda t: t["state"] == "Waiting" and t["reason"] == "ModelMissing")
        assert f"copy comes-later.gguf into {MODELS} on node strix-1" in status["message"], status
        print(f"        one: {status['message']}")
        wait_tier(ns, "two", "Ready", lambda t: t["state"] == "Ready")
        assert kstatus(ns.stack()) == "InProgress", ns.stack()["status"]["conditions"]
        try:
            os.link(os.path.join(MODELS, "SmolLM2-135M-Instruct.Q4_1.gguf"), late)
            clear(ns, "it is there now")
            ns.wait_ready()
        finally:
            os.remove(late)


@test("a GPU fault quarantines image, model and quantisation, also for the tiers that share them", 300)
def quarantine():
    with Operator(), Namespace(API, "e2e-fail-gpu") as ns:
        other = {"model": {"repository": "Qwen/Qwen2.5-14B-Instruct", "facts": {"weightBytes": 4 << 30}}}
        ns.apply(stack("s", ns.name, [gpu_tier("one", 8001, 0.2, restart={"backoffSeconds": 1}), gpu_tier("two", 8002, 0.3, **other)]))
        ns.wait_ready()
        two = ns.pod("s-two")["metadata"]["uid"]
        ns.control("one", "gpu-fault")
        status = wait_tier(ns, "one", "Quarantined", lambda t: t["state"] == "Quarantined")
        assert status["reason"] == "GpuFault", status
        print(f"        {status['message']}")
        kubectl("-n", ns.name, "delete", "pod", "s-one")
        wait_tier(ns, "one", "still Quarantined, without its pod", lambda t: t["state"] == "Quarantined" and not ns.pod("s-one"))
        ns.edit("s", lambda spec: spec["tiers"][0].update(port=8009))
        never("the triple is tried again on another port", lambda: (lambda p: p and not gated(p))(ns.pod("s-one")), 4)
        clear(ns, "tuesday")
        ns.wait_ready()
        assert ns.pod("s-two")["metadata"]["uid"] == two


@test("a GPU that is reset under two tiers quarantines the one that died first, and the other one starts again", 300)
def gpu_reset():
    with Operator(), Namespace(API, "e2e-fail-reset") as ns:
        other = {"model": {"repository": "Qwen/Qwen2.5-14B-Instruct", "facts": {"weightBytes": 4 << 30}}}
        ns.apply(stack("s", ns.name, [gpu_tier("one", 8001, 0.2, restart={"backoffSeconds": 1}),
                                      gpu_tier("two", 8002, 0.3, restart={"backoffSeconds": 1}, **other)]))
        ns.wait_ready()
        ns.control("two", "gpu-hang")
        time.sleep(1.5)  # a container's end is told in whole seconds
        ns.control("one", "gpu-hang")
        status = failed(ns, "one", "GpuReset")
        assert "by a fault of tier two" in status["lastFailure"]["message"], status
        wait_tier(ns, "one", "Ready", lambda t: t["state"] == "Ready")
        status = tier_status(ns.stack(), "two")
        assert status["state"] == "Quarantined" and status["reason"] == "GpuFault", status
        assert ns.pod("s-two")["status"]["phase"] == "Failed"
        print(f"        {status['message']}")
        clear(ns, "wednesday")
        ns.wait_ready()


@test("an engine whose core dies ends with exit code 0 and comes back", 200)
def engine_died():
    with Operator() as operator, Namespace(API, "e2e-fail-core") as ns:
        ns.apply(stack("s", ns.name, [gpu_tier("one", 8001, 0.2, restart={"backoffSeconds": 1})]))
        ns.wait_ready()
        before = ns.pod("s-one")["metadata"]["uid"]
        ns.control("one", "engine-died")
        status = failed(ns, "one", "EngineDied")
        assert "exit code 0" in status["lastFailure"]["message"], status
        until("a new pod serves", lambda: (lambda p: p and p["metadata"]["uid"] != before and serving(p))(ns.pod("s-one")), 60)
        counted = f'inferencestack_restarts_total{{namespace="{ns.name}",name="s",tier="one",reason="EngineDied"}} 1'
        assert counted in operator.get("/metrics")[1].splitlines(), operator.get("/metrics")[1]
        ns.delete()
        ns.wait_gone()
        until("nothing is counted of a stack that is gone", lambda: "inferencestack_restarts_total{" not in operator.get("/metrics")[1], 10)


@test("a llama-server that finds no GPU is not let in where its tier wants one, and says what to look at", 120)
def without_gpu():
    with Operator(), Namespace(API, "e2e-fail-no-gpu") as ns:
        ns.apply(stack("s", ns.name, [cpu_tier("one", 8011, accelerator="GPU", memory={"gpuFraction": 0.1})]))
        status = failed(ns, "one", "NoGpu")
        print(f"        {status['lastFailure']['message']}")
        assert ns.stack()["status"]["summary"]["ready"] == "0/1"


def pull_pods(ns):
    return {n: p for n, p in ns.pods().items() if p["metadata"]["labels"].get("inference.strix.dev/role") == "pull"}


@test("an image that does not exist stays out of the load window, holds nobody up, and takes nothing away that serves", 300)
def image_missing():
    with Operator(), Namespace(API, "e2e-fail-image") as ns:
        nowhere = "localhost/strix-e2e/not-there:1"
        ns.apply(stack("s", ns.name, [gpu_tier("one", 8001, 0.2, image=nowhere), gpu_tier("two", 8002, 0.3)]))
        status = wait_tier(ns, "one", "ImagePullFailed", lambda t: t["reason"] == "ImagePullFailed")
        print(f"        {status['message']}")
        wait_tier(ns, "two", "Ready", lambda t: t["state"] == "Ready")
        status = tier_status(ns.stack(), "one")
        assert status["state"] == "Waiting" and not status.get("restarts") and gated(ns.pod("s-one")), status
        assert len(pull_pods(ns)) == 1
        two = ns.pod("s-two")["metadata"]["uid"]
        ns.edit("s", lambda spec: spec["tiers"][1].update(image=nowhere))
        status = wait_tier(ns, "two", "serves on", lambda t: t["reason"] == "ImagePullFailed")
        print(f"        {status['message']}")
        assert status["state"] == "Ready" and serving(ns.pod("s-two")) and ns.pod("s-two")["metadata"]["uid"] == two, status
        assert condition(ns.stack(), "Ready")["status"] == "False" and ns.stack()["status"]["summary"]["ready"] == "0/2"
        ns.edit("s", lambda spec: [tier.pop("image") for tier in spec["tiers"]])
        ns.wait_ready()
        until("no pod pulls any more", lambda: not pull_pods(ns), 30)
        assert ns.pod("s-two")["metadata"]["uid"] == two


@test("an image that is always pulled is pulled beside the window, and a stack that goes takes the pod that pulls with it", 200)
def image_always():
    with Operator(), Namespace(API, "e2e-fail-always") as ns:
        ns.apply(stack("s", ns.name, [gpu_tier("one", 8001, 0.2, imagePullPolicy="Always")]))
        status = wait_tier(ns, "one", "ImagePullFailed", lambda t: t["reason"] == "ImagePullFailed")  # there is no registry
        print(f"        {status['message']}")
        ns.delete("s")
        ns.wait_gone()
        until("no pod is left", lambda: not ns.pods(), 30)
