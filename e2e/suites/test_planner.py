"""Why: the planner's arithmetic against a real engine: what it predicts from a model's header is what llama-server prints
and what its process really takes."""
import statistics

from .harness import *

API = Api()
MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
CONTEXTS, CACHE_TYPES, SLOTS = (1024, 2048, 3072, 5120, 8192), ("f16", "q8_0"), (1, 4)
MIB = 1 << 20


def tiers():
    """One for each context, cache type and number of slots."""
    found = []
    for slots in SLOTS:
        for cache_type in CACHE_TYPES:
            for context in CONTEXTS:
                name = f"c{context}{cache_type.replace('_', '')}n{slots}"
                found.append(cpu_tier(name, 8001 + len(found), contextLength=context, maxSequences=slots,
                                      memory={"kvCacheType": cache_type}, extraArgs=["--log-verbosity", "4"],
                                      resources={"requests": {"memory": "512Mi"}}))
    return found


def predicted(manifest):
    """What `strix-operator plan` says of each tier, from the model's own header."""
    path = os.path.join(STATE, "planner.json")
    with open(path, "w") as f:
        json.dump(manifest, f)
    done = subprocess.run([os.path.join(BUILD, "strix-operator"), "plan", "-f", path, "--models", MODELS, "-o", "json"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, 1), done.stderr
    return {t["name"]: t for t in json.loads(done.stdout)["tiers"]}


def printed(log, pattern):
    """The sum of the MiB that lines of this kind end with, in hundredths; the engine prints two decimals."""
    found = re.findall(pattern + r" =\s+(\d+)\.(\d\d) MiB", log)
    assert found, f"the engine printed no {pattern}"
    return sum(int(whole) * 100 + int(part) for whole, part in found)


def hundredths(size):
    """As printf rounds them."""
    return int(f"{size / MIB:.2f}".replace(".", ""))


def anonymous_bytes(port):
    """Resident memory of the engine on that port that no file backs. Nodes are namespaces of this machine."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read().split(b"\0")
            if b"llama-server" in words[0] and str(port).encode() in words:
                with open(f"/proc/{pid}/status") as f:
                    return int(re.search(r"RssAnon:\s+(\d+) kB", f.read()).group(1)) * 1024
    raise AssertionError(f"no llama-server on port {port}")


def tensors_bytes(path):
    """What the tensors of a GGUF file take: its size less its header, padding included."""
    import struct
    with open(path, "rb") as f:
        data = f.read(16 << 20)
    at = 0

    def take(form):
        nonlocal at
        values = struct.unpack_from("<" + form, data, at)
        at += struct.calcsize("<" + form)
        return values[0]

    def text():
        nonlocal at
        size = take("Q")
        at += size
        return data[at - size:at].decode()

    def value(kind):
        if kind == 8:
            return text()
        if kind == 9:
            inner, count = take("I"), take("Q")
            return [value(inner) for _ in range(count)]
        return take({0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}[kind])

    assert data[:4] == b"GGUF"
    at = 8
    tensors, pairs, alignment = take("Q"), take("Q"), 32
    for _ in range(pairs):
        key = text()
        read = value(take("I"))
        if key == "general.alignment":
            alignment = read
    for _ in range(tensors):
        text()
        for _ in range(take("I")):
            take("Q")
        take("I"), take("Q")
    return os.path.getsize(path) - (at + alignment - 1) // alignment * alignment


@test("what the planner predicts of a real model is what llama-server prints, and what its process takes", 600)
def predictions():
    with Operator(), Namespace(API, "e2e-planner") as ns:
        every, rows = tiers(), []
        for part in (every[:10], every[10:]):  # 16 tiers are the most that a stack has
            manifest = stack("s", ns.name, part)
            del manifest["spec"]["engines"]["vllm"]
            plan = predicted(manifest)
            ns.apply(manifest)
            ready = ns.wait_ready(seconds=240)
            for tier in part:
                name, slots = tier["name"], tier["maxSequences"]
                footprint = plan[name]["footprint"]
                log = kubectl("-n", ns.name, "logs", f"s-{name}").stdout
                cache = printed(log, "KV buffer size")
                assert cache == hundredths(footprint["kv"]), f"{name}: predicted {footprint['kv'] / MIB:.2f} MiB, printed {cache / 100:.2f}"
                assert footprint["weights"] == tensors_bytes(os.path.join(MODELS, MODEL)), footprint
                seen = tier_status(ready, name)["contextLength"]
                wanted = tier["contextLength"]
                assert seen == wanted or seen * slots == wanted, f"{name}: {seen} tokens"
                compute = printed(log, "compute buffer size")
                assert compute <= footprint["computeBuffers"] * 100 // MIB + 1, f"{name}: compute buffers {compute / 100:.2f} MiB"
                rows.append((tier["memory"]["kvCacheType"], slots, wanted, footprint, anonymous_bytes(tier["port"])))
            ns.delete()
            ns.wait_gone(seconds=120)
        for cache_type in CACHE_TYPES:
            for slots in SLOTS:
                same = [(r[3]["kv"], r[4]) for r in rows if r[0] == cache_type and r[1] == slots]
                slope, rest = statistics.linear_regression([p for p, _ in same], [m for _, m in same])
                print(f"        {cache_type}, {slots} slots: memory grows by {slope:.4f} of the predicted cache, beside {rest / MIB:.1f} MiB")
                assert abs(slope - 1) <= 0.01, f"{cache_type}, {slots} slots: slope {slope:.4f} of {same}"
