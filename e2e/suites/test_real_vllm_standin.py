"""Why: most suites run a stand-in for vLLM, which proves only what its author knew. Here the same scripted lives run against it
and against the real engine, and what an operator can observe of each is compared: answers over time, exit codes, the
causes in the log, the names in the metrics. Plain pods, no operator."""
from .real import *

STANDIN = "localhost/strix-e2e/vllm-standin:latest"
# The lines by which failures are told apart, with every number as N. Not among them: "Worker proc ... died unexpectedly", which the
# engine prints or not after another cause, as its processes happen to notice; killed() in the failures' suite has it as the cause.
CAUSES = ("To serve at least one request", "Available memory on node", "User-specified max_model_len", "unrecognized arguments",
          "Repo id must be in the form", "EngineDeadError: EngineCore encountered an issue",
          "Engine core initialization failed. See root cause above.", "Auto set (", "Explicitly set (", "CPU KV cache size")


class Life:
    """One engine in a pod of its own, looked at ten times a second until its container has ended."""

    def __init__(self, ns, name, real, arguments, model=MODEL, load_seconds=3):
        self.ns, self.name, self.real, self.health, self.asked = ns, name, real, [], False
        command = ["vllm", "serve", "/models/" + model, "--host", "0.0.0.0", "--port", "8001", "--served-model-name", name,
                   "--enforce-eager", *ARGUMENTS, *arguments]
        env = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1"}
        if not real:
            env = {"BUILD": "cpu", "POOL": f"/pool/{ns.name}", "POOL_BYTES": f"{NODE_GIB}Gi", "LOAD_SECONDS": str(load_seconds), "WEIGHT_BYTES": str(WEIGHTS),
                   "OVERHEAD_BYTES": "880Mi", "CONTROL": f"/pool/{ns.name}.control"}
            env = {"STRIX_STANDIN_" + k: v for k, v in env.items()}
        volumes = [("models", "/models", {"hostPath": {"path": MODELS}}), ("pool", "/pool", {"hostPath": {"path": POOLS}}),
                   ("shm", "/dev/shm", {"emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}})]
        API.call("POST", pods_path(ns.name), {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
            "restartPolicy": "Never", "nodeSelector": {"kubernetes.io/hostname": NODE}, "enableServiceLinks": False,
            "containers": [{"name": "engine", "image": IMAGE if real else STANDIN, "imagePullPolicy": "IfNotPresent",
                            "command": command[:1], "args": command[1:], "env": [{"name": k, "value": v} for k, v in env.items()],
                            "volumeMounts": [{"name": n, "mountPath": path} for n, path, _ in volumes]}],
            "volumes": [{"name": n, **source} for n, _, source in volumes]}})
        self.address = (until("an address", lambda: self.pod()["status"]["podIP"], 60), 8001)

    def pod(self):
        return self.ns.pod(self.name)

    def look(self):
        try:
            code = ask(self.address, "/health", timeout=5)[0]
        except (OSError, http.client.HTTPException):
            code = 0
        if not self.health or self.health[-1] != code:
            self.health.append(code)
        return code

    def wait(self, code, seconds=200):
        until(f"{self.name}: /health {code}", lambda: self.look() == code or self.ended(), seconds, every=0.1)
        return self

    def ended(self):
        return next((c["state"]["terminated"] for c in self.pod()["status"].get("containerStatuses", []) if "terminated" in c["state"]), None)

    def kill_core(self):
        if self.real:
            os.kill(process_named(self.pod(), "VLLM::EngineCor"), signal.SIGKILL)
        else:
            self.ns.control(self.name, "engine-died")

    def term(self):
        """As the kubelet does it: to the container's first process."""
        os.kill(min(processes(self.pod())), signal.SIGTERM)
        self.asked = True

    def end(self, seconds=200):
        """Everything that could be observed; the pod is removed."""
        state = until(f"{self.name} ends", lambda: (self.look(), self.ended())[1], seconds, every=0.1)
        log = engine_log(self.ns.name, self.name)
        API.delete(f"{pods_path(self.ns.name)}/{self.name}", grace=0)
        until("its pod is gone", lambda: self.pod() is None, 60)
        causes = {re.sub(r"-?[\d,]*\.?\d+", "N", line[line.index(c):].split(" Failed core proc")[0])[:90]
                  for line in log.splitlines() for c in CAUSES if c in line}
        if self.asked:  # a look at its health in the moment between core and front end has it say so, or not
            causes = {c for c in causes if not c.startswith("EngineDeadError")}
        return {"health": self.health, "exit": state["exitCode"], "causes": causes}, log


def shown(value):
    """A row of the table says much in little: a set in order, long ones by their size."""
    if isinstance(value, (set, frozenset)):
        return f"{len(value)} names" if len(value) > 12 else "; ".join(sorted(value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{k} {v}" for k, v in value.items())
    return " ".join(str(v) for v in value) if isinstance(value, list) else str(value)


def unlike(real, standin):
    if isinstance(real, (set, frozenset)):
        return f"BUT THE STAND-IN lacks: {shown(real - standin)[:300]}; has beside: {shown(standin - real)[:300]}"
    return f"BUT THE STAND-IN: {shown(standin)}"


def both(ns, name, arguments, script, **more):
    """The script of a life, lived by the real engine and by the stand-in; told are the differences, and both logs."""
    seen, logs = {}, {}
    for real in (True, False):
        life = Life(ns, name, real, arguments, **more)
        extra = script(life) or {}
        seen[real], logs[real] = life.end()
        seen[real].update(extra)
    return differences(name, seen[True], seen[False]), (logs[True], logs[False])


def differences(name, real, standin):
    """What was observed is printed, a line each."""
    for what, value in real.items():
        same = standin[what] == value
        print(f"        {name:<9} {what:<14} {shown(value)}" + ("" if same else "   " + unlike(value, standin[what])))
    return [f"{name}: {k}" for k in real if real[k] != standin[k]]


def agree(differ):
    assert not differ, "the stand-in is unlike the engine in " + "; ".join(differ)


def answers(life):
    """What an engine that is ready answers: status codes, the fields of a completion, the names of the metrics."""
    body = {"model": life.name, "max_tokens": 4, "messages": [{"role": "user", "content": "Hi"}]}
    status, text = ask(life.address, "/v1/chat/completions", body)
    completion = json.loads(text)
    unknown = ask(life.address, "/v1/chat/completions", {**body, "model": "nobody"})[0]
    too_long = ask(life.address, "/v1/chat/completions", {**body, "max_tokens": 1 << 20})[0]
    metrics = ask(life.address, "/metrics")[1]
    cache = vllm_cache(metrics)
    return {"chat": status, "fields": {k for k in ("id", "choices", "usage", "model", "object") if k in completion},
            "usage": completion["usage"]["completion_tokens"], "unknown model": unknown, "too long": too_long,
            "metrics": set(re.findall(r"^(vllm:\w+|http_requests_total)[{ ]", metrics, re.M)),
            "cache": {k: cache.get(k) for k in ("block_size", "num_gpu_blocks", "kv_cache_size_tokens", "kv_cache_max_concurrency", "kv_cache_memory_bytes")},
            "labels": set(cache), "length": json.loads(ask(life.address, "/v1/models")[1])["data"][0]["max_model_len"],
            "version": json.loads(ask(life.address, "/version")[1])}


@test("ready, asked and asked to stop: the stand-in answers and ends as the real engine does", 600)
def asked():
    small_node()
    with Namespace(API, "e2e-life") as ns:
        def script(life):
            told = answers(life.wait(200))
            life.term()
            return told
        agree(both(ns, "asked", ["--max-model-len", "8192", "--kv-cache-memory-bytes", "67633152"], script)[0])


@test("a core that is killed: refused, healthy, 503, requests refused with 500, exit code 0, in both", 600)
def core():
    small_node()
    with Namespace(API, "e2e-life-core") as ns:
        def script(life):
            life.wait(200).kill_core()
            life.wait(503, 30)
            try:
                return {"while dead": ask(life.address, "/v1/completions", {"model": life.name, "prompt": "Hi", "max_tokens": 2})[0]}
            except (OSError, http.client.HTTPException):
                return {"while dead": "gone"}
        agree(both(ns, "core", ["--max-model-len", "8192", "--kv-cache-memory-bytes", "67633152"], script)[0])


WRONG = [
    ("fraction", ["--max-model-len", "8192", "--gpu-memory-utilization", "0.99"], MODEL),
    ("little", ["--max-model-len", "8192", "--gpu-memory-utilization", "0.04"], MODEL),
    ("much", ["--max-model-len", "8192", "--kv-cache-memory-bytes", str(40 << 30)], MODEL),
    ("beyond", ["--max-model-len", "65536"], MODEL),
    ("flag", ["--no-such-flag", "1"], MODEL),
    ("missing", [], "tiny/nobody"),
]


@test("what is wrong from the start ends both with the same words and exit code", 900)
def wrong():
    small_node()

    def nothing(life):
        if not life.wait(200).ended():
            life.term()

    with Namespace(API, "e2e-life-wrong") as ns:
        differ, logs = both(ns, "context", ["--max-model-len", "32768", "--kv-cache-memory-bytes", "67108864"], nothing)
        estimates = [re.search(r"estimated maximum model length is (\d+)", log).group(1) for log in logs]
        print(f"        context   estimate       {' and '.join(estimates)}")
        differ += ["context: estimate"] * (estimates[0] != estimates[1])
        for name, arguments, model in WRONG:
            differ += both(ns, name, arguments, nothing, model=model)[0]
        agree(differ)


@test("of two at once both count on the same memory, and one of them pays for it with its worker, in both", 600)
def at_once():
    small_node()

    def race(ns, real):
        # Long enough that the stand-ins, whose pods start some tenths of a second apart, measure before either has its cache.
        lives = [Life(ns, name, real, ["--max-model-len", "8192", "--gpu-memory-utilization", "0.5"], load_seconds=20) for name in ("left", "right")]
        until("one of them ends", lambda: ([l.look() for l in lives], any(l.ended() for l in lives))[1], 200, every=0.1)
        lost, won = sorted(lives, key=lambda l: l.ended() is None)
        won.wait(200).term()
        (of_lost, log), (of_won, _) = lost.end(), won.end()
        print(f"        {'real' if real else 'stand-in':<9} {lost.name:<14} " + next(l for l in log.splitlines() if "died unexpectedly" in l).split("] ", 1)[-1])
        return {f"{who} {what}": value for who, of in (("lost", of_lost), ("won", of_won)) for what, value in of.items()}

    with Namespace(API, "e2e-life-race") as ns:
        real, standin = race(ns, True), race(ns, False)
        agree(differences("at once", real, standin))


@test("asked to stop in its load, both end within seconds or are deaf to it: there is no third way", 600)
def stopped():
    small_node()
    with Namespace(API, "e2e-life-stop") as ns:
        for real, seconds in ((True, 1), (True, 6), (True, 12), (False, 1)):
            life = Life(ns, "stop", real, ["--max-model-len", "8192", "--kv-cache-memory-bytes", "67633152"])
            until("it loads", lambda: processes(life.pod()), 30)
            time.sleep(seconds)
            life.term()
            begun = time.monotonic()
            with contextlib.suppress(AssertionError):
                until("it ends", lambda: life.look() == 200 or life.ended(), 30, every=0.1)
            how, took = life.ended(), time.monotonic() - begun
            print(f"        {'real' if real else 'stand-in'}, {seconds} s into its load: " + (
                f"exit code {how['exitCode']} after {took:.1f} s" if how else
                f"deaf, and ready after {took:.1f} s" if life.health[-1] == 200 else f"deaf for {took:.0f} s"))
            # By itself, of the signal, or as Python ends when it is interrupted: all three are the real engine's.
            assert how is None or how["exitCode"] in (0, 128 + signal.SIGTERM, 128 + signal.SIGINT), how
            for pid in processes(life.pod()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            life.end()
