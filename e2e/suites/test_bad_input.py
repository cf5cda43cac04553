"""Why: what a person or a program may get wrong is refused with a sentence, and the other stacks go on."""
import glob

from .harness import *

API = Api()
HOSTILE = os.path.join(ROOT, "unit", "api", "hostile")


@test("every hostile manifest is refused by the API server or told in status, and another stack goes on", 300)
def hostile():
    files = sorted(glob.glob(os.path.join(HOSTILE, "*.yaml")))
    assert len(files) >= 30, f"{len(files)} manifests"
    node = node_entry()
    del node["devices"]
    good = stack("good", "e2e-bad", [cpu_tier("one", 8001)], nodes=[node])
    del good["spec"]["engines"]["vllm"]
    policy = ("--allowed-images", "docker.io/kyuz0,ghcr.io/ggml-org," + good["spec"]["engines"]["llamacpp"]["image"])
    with Operator(*policy, privileged=False, roots=(MODELS, "/var/lib/models")) as operator, Namespace(API, "e2e-bad") as ns:
        ns.apply(good)
        ns.wait_ready("good")
        wrong = []
        for path in files:
            with open(path) as f:
                text = f.read()
            expected = re.search(r"^# refused: (.*)$", text, re.M).group(1).strip()
            text = re.sub(r"(?m)^(\s+)namespace: .*$", rf"\1namespace: {ns.name}", text)
            done = kubectl("-n", ns.name, "apply", "--validate=strict", "-f", "-", check=False, stdin=text)
            if done.returncode:
                continue
            names = [o["metadata"]["name"] for o in API.items(stacks_path(ns.name)) if o["metadata"]["name"] != "good"]
            try:
                assert names, "accepted, and not there"
                stalled = until("Stalled", lambda: (lambda c: c and c["status"] == "True" and c)(condition(ns.stack(names[0]), "Stalled")), 10)
                if expected not in stalled["message"]:
                    wrong.append(f"{os.path.basename(path)}: wanted '{expected}', got '{stalled['message']}'")
            except AssertionError as error:
                wrong.append(f"{os.path.basename(path)}: {error}")
            for name in names:
                ns.delete(name)
                ns.wait_gone(name)
        assert not wrong, "\n        ".join(wrong)
        assert is_ready(ns.stack("good")) and operator.alive()
