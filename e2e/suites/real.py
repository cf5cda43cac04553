"""Why: what the suites with the real vLLM share: a small node of a known size, tiers that run vLLM's CPU build with a
model without weights, and a look at an engine's processes from outside, as the kernel sees them.

The engine is slow to start (20 s alone on two idle cores) and takes 1 GiB before its cache: these suites run when asked for.
"""
import atexit
import glob
import random

from .harness import *

IMAGE = "localhost/strix-e2e/vllm-cpu:0.32.0"
NODE, NODE_GIB = "strix-2", 10
MODEL = "tiny/orchestrator"
# Of e2e/images/vllm-cpu/model.py, in float32: embedding, and per layer attention with its biases, feed-forward, norms.
HIDDEN, LAYERS, KV_HEADS, HEAD_DIM, FEED_FORWARD, VOCABULARY = 256, 4, 2, 64, 1024, 259
WEIGHTS = 4 * (VOCABULARY * HIDDEN + HIDDEN + LAYERS * (
    2 * HIDDEN * HIDDEN + 2 * HIDDEN * KV_HEADS * HEAD_DIM + HIDDEN + 2 * KV_HEADS * HEAD_DIM + 3 * HIDDEN * FEED_FORWARD + 2 * HIDDEN))
FACTS = {"layers": LAYERS, "kvHeads": KV_HEADS, "headDim": HEAD_DIM, "weightBytes": WEIGHTS, "contextLength": 32768}
TOKEN_BYTES = 4 * LAYERS * 2 * KV_HEADS * HEAD_DIM
BLOCK_TOKENS = 128  # of the CPU build's cache
# What a CPU without a GPU's habits needs: no weights to load, and a type that every CPU computes in.
ARGUMENTS = ["--load-format", "dummy", "--dtype", "float32"]
START_SECONDS = 300


def small_node():
    """Gives the second node a memory of NODE_GIB for this run: its pods together get no more, and engines see no more."""
    def size():
        return API.get(f"/api/v1/nodes/{NODE}")["status"]["capacity"]["memory"]

    wanted = f"{NODE_GIB}Gi"  # as a quantity is written that is a whole number of them
    if size() == wanted:
        return
    os.environ["STRIX_E2E_NODE_MEMORY"] = f"{NODE_GIB}Gi"
    cluster("reboot", NODE)
    del os.environ["STRIX_E2E_NODE_MEMORY"]
    atexit.register(cluster, "reboot", NODE)
    until(f"{NODE} has {NODE_GIB} GiB", lambda: size() == wanted, 30)


API = Api()


def vllm_tier(name, port, context=8192, facts=True, extra=(), **more):
    """A tier on the real vLLM, on the CPU. Without facts the planner knows nothing of the model, and the engine measures."""
    model = {"repository": MODEL, **({"facts": FACTS} if facts else {})}
    return {"name": name, "engine": "vllm", "accelerator": "None", "model": model, "port": port, "contextLength": context,
            "imagePullPolicy": "IfNotPresent", "maxSequences": 2, "enforceEager": True, "threads": 1,
            "extraArgs": [*ARGUMENTS, *extra], "restart": {"backoffSeconds": 1, "maxBackoffSeconds": 5}, **more}


def real_stack(name, namespace, tiers, unified=f"{NODE_GIB}Gi", **spec):
    node = {"name": "small", "selector": {"kubernetes.io/hostname": NODE}, "modelStore": {"hostPath": {"path": MODELS}},
            "profile": {"unifiedMemory": unified, "gpuMemory": unified, "systemReserve": "512Mi"}}
    return {"apiVersion": "inference.strix.dev/v1alpha1", "kind": "InferenceStack", "metadata": {"name": name, "namespace": namespace},
            "spec": {"nodes": [node], "tiers": tiers,
                     "engines": {"vllm": {"image": IMAGE}, "llamacpp": {"image": "localhost/strix-e2e/llama-server:0.7.0"}}, **spec}}


def four_tiers(namespace, **spec):
    """The decision log's four, each as small as it can be."""
    return real_stack("s", namespace, [
        vllm_tier("orchestrator", 8001, 32768), vllm_tier("coder", 8002, 16384, startAfter=["orchestrator"]),
        cpu_tier("reviewer", 8011), cpu_tier("utility", 8012)], **spec)


# --- an engine from outside ---------------------------------------------------------------------------------------

def processes(pod, mib=0):
    """The processes of a pod's containers as {pid: name}, without its sandbox; with `mib`, only those that hold as much."""
    found, mark = {}, "pod" + pod["metadata"]["uid"]
    for path in glob.glob("/proc/[0-9]*/cgroup"):
        with contextlib.suppress(OSError):
            with open(path) as f:
                if mark not in f.read():
                    continue
            pid = int(path.split("/")[2])
            with open(f"/proc/{pid}/comm") as f:
                name = f.read().strip()
            with open(f"/proc/{pid}/statm") as f:
                resident = int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            if name != "pause" and resident >= mib << 20:
                found[pid] = name
    return found


def process_named(pod, part, seconds=60):
    """The pid of the pod's process with that in its name: VLLM::EngineCore and VLLM::Worker name themselves."""
    return until(f"{pod['metadata']['name']} has a process {part}",
                 lambda: next((pid for pid, name in processes(pod).items() if part in name), None), seconds)


def cgroup_bytes(pod):
    """Memory that the kernel charges to a pod and cannot take back: without the cache of files."""
    pattern = f"strix-e2e/{NODE}/kubepods/**/pod{pod['metadata']['uid']}/memory.stat"
    path = (glob.glob("/sys/fs/cgroup/memory/" + pattern, recursive=True) + glob.glob("/sys/fs/cgroup/" + pattern, recursive=True))[0]
    with open(path) as f:
        fields = dict(line.split() for line in f)
    return int(fields.get("total_rss", 0)) + int(fields.get("total_shmem", 0)) if "total_rss" in fields else (
        int(fields["anon"]) + int(fields["shmem"]))


def memory_of_processes(pod):
    """What each process of a pod holds in MiB: its own, shared with its fellows, and pages of files, which the kernel may drop."""
    told = []
    for pid, name in sorted(processes(pod).items()):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/status") as f:
            fields = dict(line.split(":", 1) for line in f)
            own, shared, files = (int(fields[k].split()[0]) // 1024 for k in ("RssAnon", "RssShmem", "RssFile"))
            if own + shared >= 16:
                told.append(f"{name} {own} own, {shared} shared, {files} of files")
    return "; ".join(told)


def engine_log(namespace, pod, previous=False):
    return kubectl("-n", namespace, "logs", pod, *(["--previous"] if previous else []), check=False).stdout


def vllm_cache(text):
    """What cache_config_info says in vLLM's /metrics, as a dictionary of texts."""
    line = next(l for l in text.splitlines() if l.startswith("vllm:cache_config_info{"))
    return dict(re.findall(r'(\w+)="([^"]*)"', line))


def wait_tier(ns, name, what, wanted, seconds=START_SECONDS):
    return until(f"{name}: {what}", lambda: (lambda t: wanted(t) and t)(tier_status(ns.stack(), name)), seconds, every=0.2)


def describe(ns, name="s"):
    return kubectl("-n", ns.name, "describe", "inferencestack", name).stdout
