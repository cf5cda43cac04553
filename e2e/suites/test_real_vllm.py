"""Why: the project's claim, with the engine that it is made for: four tiers, two of them the real vLLM on one node's memory,
come up in order, say in status what they say themselves, survive, and stop without harm."""
from .real import *

ROUNDS = int(os.environ.get("STRIX_E2E_ROUNDS", "10"))
NAMES = ("s-orchestrator", "s-coder", "s-reviewer", "s-utility")


def figures_agree(ns, stack_object, name, port):
    """Status, the engine's own log, its metrics and its API say the same."""
    status, pod = tier_status(stack_object, name), ns.pod("s-" + name)
    address = (pod["status"]["podIP"], port)
    log = engine_log(ns.name, "s-" + name)
    printed = re.search(r"CPU KV cache size: ([\d,]+) tokens, Maximum concurrency for ([\d,]+) tokens per request: ([\d.]+)x", log)
    tokens, context = (int(printed.group(i).replace(",", "")) for i in (1, 2))
    cache = vllm_cache(ask(address, "/metrics")[1])
    models = json.loads(ask(address, "/v1/models")[1])
    version = json.loads(ask(address, "/version")[1])["version"]
    assert status["kv"]["tokens"] == tokens == int(cache["kv_cache_size_tokens"]), (status, tokens, cache)
    assert status["kv"]["concurrency"] == float(printed.group(3)), (status, printed.group(0))
    assert status["kv"]["bytes"] == int(cache["kv_cache_memory_bytes"]), (status, cache)
    assert status["engineVersion"] == version, (status, version)
    assert status["contextLength"] == context == models["data"][0]["max_model_len"], (status, context, models)
    return tokens, float(printed.group(3)), status, pod


@test("four tiers, two of them the real vLLM, come up in order, each answers, and status has the figures that the engines print", 900)
def four():
    small_node()
    with Operator(), Namespace(API, "e2e-real") as ns:
        with Recording(API, pods_path(ns.name)) as seen:
            ns.apply(four_tiers(ns.name))
            ready = ns.wait_ready(seconds=2 * START_SECONDS)
            order_is_proved(seen, ns.name, NAMES)
        assert ready["status"]["summary"]["ready"] == "4/4", ready["status"]["summary"]
        for name in NAMES:
            address = service_address(API, ns.name, name)
            answer = until(f"a chat answer of {name}", lambda: chat(address, model=name[2:]), 30)
            print(f"        {name[2:]}: {answer!r}")
        for name, port, context in (("orchestrator", 8001, 32768), ("coder", 8002, 16384)):
            tokens, concurrency, status, pod = figures_agree(ns, ready, name, port)
            # The plan pins the cache: one request of the whole context, and the block that the engine keeps empty and counts.
            assert tokens == context + BLOCK_TOKENS and concurrency == round(tokens / context, 2), (tokens, concurrency)
            held = cgroup_bytes(pod)
            print(f"        {name}: {tokens} tokens of KV cache, {concurrency} requests of {context} tokens; plan {status['bytes'] / 2**20:.0f} MiB, "
                  f"held {held / 2**20:.0f} MiB: {memory_of_processes(pod)}")
            assert abs(status["bytes"] - held) <= held // 20, (status["bytes"], held)
        ns.delete()
        ns.wait_gone(seconds=120)


@test("a context beyond the model's own is served with its ropeScaling", 600)
def stretched():
    small_node()
    with Operator(), Namespace(API, "e2e-real-rope") as ns:
        tier = vllm_tier("one", 8001, 2 * FACTS["contextLength"])
        tier["model"]["ropeScaling"] = {"type": "yarn", "factor": 2, "originalContextLength": FACTS["contextLength"], "theta": 1000000}
        ns.apply(real_stack("s", ns.name, [tier]))
        ready = ns.wait_ready(seconds=START_SECONDS)
        assert tier_status(ready, "one")["contextLength"] == 2 * FACTS["contextLength"], tier_status(ready, "one")
        assert chat(service_address(API, ns.name, "s-one"), model="one")


FILLS = """settings:
- where: {engine: vllm, accelerator: None}
  topic: --kv-cache-memory-bytes
  constants: {pinsKvCache: false}
  source: this suite
  date: "2026-11"
"""


@test("of an engine that fills its fraction by itself the second start is predicted, within 1 %, from what the first has taught", 600)
def fraction():
    small_node()
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "strix-capabilities", "namespace": "strix-system"},
                "data": {"capabilities.yaml": FILLS}}
    path = "/api/v1/namespaces/strix-system/configmaps/strix-capabilities"
    API.apply(path, settings)
    try:
        with Operator("--capabilities-config-map", "strix-capabilities"), Namespace(API, "e2e-real-fraction") as ns:
            ns.apply(real_stack("s", ns.name, [vllm_tier("one", 8001, memory={"gpuFraction": 0.2})]))
            ns.wait_ready(seconds=START_SECONDS)
            first = until("its cache is known", lambda: tier_status(ns.stack(), "one")["kv"]["tokens"], 30)
            learned = until("it has taught", lambda: ns.stack()["status"]["learned"][0]["engine"]["bytes"], 30)

            def predicted(milli, engine_bytes):
                share = -(-(NODE_GIB << 30) * milli // 1000)
                return (share - WEIGHTS - BLOCK_TOKENS * TOKEN_BYTES - engine_bytes) // TOKEN_BYTES

            ns.edit("s", lambda spec: spec["tiers"][0].update(memory={"gpuFraction": 0.26}))
            until("it is stopped", lambda: not serving(ns.pod("s-one")), 60)
            ns.wait_ready(seconds=START_SECONDS)
            second = until("its cache is known", lambda: (lambda kv: kv if kv != first else None)(tier_status(ns.stack(), "one")["kv"]["tokens"]), 30)
            print(f"        fraction 0.20: {first} tokens, by the table of capabilities {predicted(200, 838 << 20)}; it takes {learned / 2**20:.0f} MiB "
                  f"for itself; 0.26: {second} tokens, predicted {predicted(260, learned)}")
            assert abs(second - predicted(260, learned)) <= second // 100, (second, learned)
    finally:
        API.delete(path)


@test("the same four as plain Deployments start together, and the kernel kills one for the memory that both had counted on", 600)
def deployments():
    small_node()
    with Namespace(API, "e2e-race") as ns:
        deployments_path = f"/apis/apps/v1/namespaces/{ns.name}/deployments"
        for port, name in ((8001, "orchestrator"), (8002, "coder")):
            # What their author reads in vLLM's help: a fraction of the memory for each, together less than all of it.
            command = ["vllm", "serve", "/models/" + MODEL, "--port", str(port), "--gpu-memory-utilization", "0.45",
                       "--max-model-len", "32768", "--enforce-eager", *ARGUMENTS]
            API.apply(f"{deployments_path}/{name}", deployment(name, IMAGE, command))
        for port, name in ((8011, "reviewer"), (8012, "utility")):
            command = ["llama-server", "-m", "/models/SmolLM2-135M-Instruct.Q4_1.gguf", "--port", str(port), "-c", "2048", "-t", "1"]
            API.apply(f"{deployments_path}/{name}", deployment(name, "localhost/strix-e2e/llama-server:0.7.0", command))
        try:
            dead = until("a tier died", lambda: [(p["metadata"]["labels"]["app"], p["metadata"]["name"], c["lastState"]["terminated"])
                                                  for p in ns.pods().values() for c in p["status"].get("containerStatuses", [])
                                                  if c.get("lastState", {}).get("terminated")], 300)
            for app, pod, how in dead:
                log = engine_log(ns.name, pod, previous=True)
                said = [l for l in log.splitlines() if "died unexpectedly" in l or "Auto set" in l or "Available memory on node" in l]
                print(f"        {app}: exit code {how['exitCode']} {how.get('reason', '')}: {said}")
            assert {app for app, _, _ in dead} & {"orchestrator", "coder"}, dead
        finally:
            for name in ("orchestrator", "coder", "reviewer", "utility"):
                API.delete(f"{deployments_path}/{name}")
            until("the Deployments' pods are gone", lambda: not ns.pods(), 120)


def deployment(name, image, command):
    container = {"name": "engine", "image": image, "imagePullPolicy": "IfNotPresent", "command": command[:1], "args": command[1:],
                 "env": [{"name": n, "value": "1"} for n in ("HF_HUB_OFFLINE", "VLLM_NO_USAGE_STATS", "DO_NOT_TRACK")] +
                        [{"name": "VLLM_CPU_OMP_THREADS_BIND", "value": "nobind"}, {"name": "OMP_NUM_THREADS", "value": "1"}],
                 "volumeMounts": [{"name": "models", "mountPath": "/models", "readOnly": True}, {"name": "shm", "mountPath": "/dev/shm"}]}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "selector": {"matchLabels": {"app": name}}, "template": {"metadata": {"labels": {"app": name}}, "spec": {
            "nodeSelector": {"kubernetes.io/hostname": NODE}, "containers": [container], "enableServiceLinks": False,
            "volumes": [{"name": "models", "hostPath": {"path": MODELS}},
                        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}}]}}}}


def unharmed(ns, obj):
    """Every tier is Ready and none was ever started a second time."""
    for tier in obj["status"]["tiers"]:
        assert tier["state"] == "Ready" and not tier.get("restarts") and "lastFailure" not in tier, tier


@test(f"as an InferenceStack {ROUNDS} of {ROUNDS} starts succeed", 300 * ROUNDS)
def starts():
    small_node()
    took = []
    with Operator(), Namespace(API, "e2e-starts") as ns:
        for _ in range(ROUNDS):
            begun = time.monotonic()
            ns.apply(four_tiers(ns.name))
            unharmed(ns, ns.wait_ready(seconds=2 * START_SECONDS))
            took.append(time.monotonic() - begun)
            ns.delete()
            ns.wait_gone(seconds=120)
            assert not ns.pods()
    print(f"        seconds: {' '.join(f'{t:.0f}' for t in took)}")


@test(f"and so do {ROUNDS} of {ROUNDS} in which a process of a random tier is killed at a random moment", 500 * ROUNDS)
def starts_with_a_kill():
    small_node()
    rng = random.Random(6)
    with Operator(), Namespace(API, "e2e-kills") as ns:
        for _ in range(ROUNDS):
            begun = time.monotonic()
            with Recording(API, pods_path(ns.name)) as seen:
                ns.apply(four_tiers(ns.name))
                time.sleep(rng.uniform(3, 60))
                victims = until("something runs", lambda: [(n, pid, comm) for n, p in ns.pods().items() for pid, comm in processes(p, 64).items()])
                victim, pid, comm = rng.choice(victims)
                after = time.monotonic() - begun
                os.kill(pid, signal.SIGKILL)
                until("the kill is noticed", lambda: tier_status(ns.stack(), victim[2:]).get("restarts"), 120)
                ready = ns.wait_ready(seconds=3 * START_SECONDS)
                one_at_a_time(seen)
            status = tier_status(ready, victim[2:])
            print(f"        {victim} ({comm}) after {after:.0f} s: {status['lastFailure']['class']}, Ready after {time.monotonic() - begun:.0f} s")
            for tier in ready["status"]["tiers"]:
                assert tier["state"] == "Ready", tier
                assert tier["name"] == victim[2:] or not tier.get("restarts"), tier
            ns.delete()
            ns.wait_gone(seconds=120)


def one_at_a_time(seen):
    """From the watch alone: nobody was let in while another that had been let in neither served yet nor had gone."""
    loading = {}
    for when, kind, pod in seen.events:
        uid = pod["metadata"]["uid"]
        if kind == "DELETED" or serving(pod) or pod["status"].get("phase") in ("Succeeded", "Failed"):
            loading.pop(uid, None)
        elif not gated(pod) and not any(c["type"] == SERVING for c in pod["status"].get("conditions", [])):
            loading[uid] = pod["metadata"]["name"]
        assert len(loading) <= 1, (when, loading)


@test("a tier that is stopped in the middle of its load keeps the window shut until it is truly gone", 900)
def stopped_in_load():
    small_node()
    with Operator(), Namespace(API, "e2e-stop") as ns:
        for seconds in (2, 8, 16):
            ns.apply(real_stack("s", ns.name, [vllm_tier("one", 8001), vllm_tier("two", 8002)]))
            one = until("one loads", lambda: (lambda p: p and len(processes(p)) >= 1 and p)(ns.pod("s-one")), 60)
            time.sleep(seconds)
            asked = time.monotonic()
            ns.edit("s", lambda spec: spec["tiers"][0].update(activation="Off"))
            while gated(ns.pod("s-two")):
                assert time.monotonic() - asked < 120, "two was never let in"
                time.sleep(0.05)
            now = processes(one)
            assert not now, f"two was let in while one had {now}"
            print(f"        stopped {seconds} s into its load: gone, and the next let in, after {time.monotonic() - asked:.1f} s")
            ns.delete()
            ns.wait_gone(seconds=120)
