"""Why: what cannot be right is refused when it is applied, in the words of `strix-operator validate` and of the status;
and where nobody answers, nothing is held up.

The operator runs on this machine, so the webhook's manifests are installed as they are but for the address: a URL.
"""
import glob
import ssl

from .harness import *

API = Api()
HOSTILE = os.path.join(ROOT, "unit", "api", "hostile")
CONFIGURATION = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/strix-operator"
SECRET = "/api/v1/namespaces/strix-system/secrets/strix-operator-webhook"
DENIED = 'admission webhook "validate.inference.strix.dev" denied the request: '
PORT, PORT_OF_SECOND = free_port(), free_port()
IMAGES = "docker.io/kyuz0,ghcr.io/ggml-org,localhost/strix-e2e"
ROOTS = (MODELS, "/var/lib/models")


def documents(text):
    decoder, at, found = json.JSONDecoder(), 0, []
    while at < len(text.rstrip()):
        obj, end = decoder.raw_decode(text, at)
        found.append(obj)
        at = end + len(text[end:]) - len(text[end:].lstrip())
    return found


def to_object(text, namespace):
    """A manifest as the JSON that kubectl would send."""
    obj = documents(kubectl("create", "--dry-run=client", "--validate=false", "-o", "json", "-f", "-", stdin=text).stdout)[0]
    obj["metadata"]["namespace"] = namespace
    return obj


class Registered:
    """manifests/webhook, installed for the length of a test."""

    def __init__(self, port=PORT):
        self.port = port

    def __enter__(self):
        folder = os.path.join(ROOT, "manifests", "webhook")
        items = documents(kubectl("create", "--dry-run=client", "-o", "json", "-k", folder).stdout)
        for item in items:
            if item["kind"] == "ValidatingWebhookConfiguration":
                item["webhooks"][0]["clientConfig"] = {"url": f"https://127.0.0.1:{self.port}/validate"}
        self.text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        self.remove()
        kubectl("create", "-f", "-", stdin=self.text)
        return self

    def __exit__(self, *_):
        self.remove()

    def remove(self):
        kubectl("delete", "--ignore-not-found", "-f", "-", stdin=self.text)


def admitting(*flags, port=PORT, name="admission", **more):
    """An operator that serves the webhook."""
    return Operator("--webhook-listen", f"127.0.0.1:{port}", "--webhook-names", "127.0.0.1", "--allowed-images", IMAGES, *flags,
                    name=name, **{"privileged": False, "roots": ROOTS, **more})


def validate(text):
    """The sentences of `strix-operator validate` with the flags of that operator, without file, line and column."""
    done = subprocess.run([os.path.join(BUILD, "strix-operator"), "validate", "-f", "-", "--model-roots", ",".join(ROOTS),
                           "--allowed-images", IMAGES], input=text, text=True, capture_output=True, timeout=20)
    return [re.sub(r"^-(:\d+:\d+)?: ", "", line) for line in done.stderr.splitlines()]


def good_stack(namespace, name="good", **spec):
    node = node_entry()
    del node["devices"]
    made = stack(name, namespace, [cpu_tier("one", 8001)], nodes=[node], suspend=True, **spec)
    del made["spec"]["engines"]["vllm"]
    return made


def wrong_stack(namespace, name="wrong"):
    made = good_stack(namespace, name)
    made["spec"]["tiers"][0]["extraArgs"] = ["--port", "1"]
    return made


def create(namespace, obj):
    """The status code, the Status or object, and the warnings."""
    connection = API.connect()
    try:
        connection.request("POST", stacks_path(namespace), json.dumps(obj),
                           {"Content-Type": "application/json", "Accept": "application/json",
                            **({"Authorization": "Bearer " + API.token} if API.token else {})})
        reply = connection.getresponse()
        warnings = [re.fullmatch(r'299 - "(.*)"', w).group(1).replace('\\"', '"') for w in reply.headers.get_all("Warning") or []]
        return reply.status, json.loads(reply.read()), warnings
    finally:
        connection.close()


def until_refusing(namespace):
    """The API server hears of the CA a moment after the operator wrote it."""
    return until("the webhook refuses", lambda: (lambda s, b, _: s == 422 and b["message"].startswith(DENIED) and b["message"])(
        *create(namespace, {**wrong_stack(namespace, "probe")})), 20)


def refused_manifests(namespace):
    """{file: (object, message)} of what only the operator knows to be wrong; the API server's own checks take the others."""
    refused, wrong = {}, []
    for path in sorted(glob.glob(os.path.join(HOSTILE, "*.yaml"))):
        with open(path) as f:
            text = f.read()
        by, file, obj = re.search(r"^# by: (.*)$", text, re.M).group(1), os.path.basename(path), to_object(text, namespace.name)
        status, answer, _ = create(namespace.name, obj)
        if status == 201:
            namespace.delete(answer["metadata"]["name"])
        told = status == 422 and answer["message"].startswith(DENIED)
        if told != (by == "operator"):
            wrong.append(f"{file}: HTTP {status} {answer.get('message', '')[:200]}")
        if not told:
            continue
        refused[file] = obj, answer["message"].removeprefix(DENIED)
        sentences = validate(json.dumps(obj))
        more = f" (and {len(sentences) - 1} more)" if len(sentences) > 1 else ""
        causes = [c["field"] + ": " + c["message"] for c in answer["details"]["causes"]]
        if refused[file][1] != sentences[0] + more or causes != sentences:
            wrong.append(f"{file}: validate says {sentences}, the API server {answer['message']} {causes}")
    assert not wrong, "\n        ".join(wrong)
    return refused


@test("what is wrong with a manifest validate, the API server and then the status say in the same words", 300)
def same_words():
    with Registered(), Namespace(API, "e2e-admission") as ns:
        with admitting() as operator:
            until_refusing(ns.name)
            refused = refused_manifests(ns)
            assert len(refused) >= 10, sorted(refused)
            ns.apply(good_stack(ns.name))
            done = kubectl("-n", ns.name, "apply", "-f", "-", check=False, stdin=json.dumps(wrong_stack(ns.name)))
            sentence = validate(json.dumps(wrong_stack(ns.name)))[0]
            assert done.returncode and sentence in done.stderr, done.stderr
            metrics = operator.get("/metrics")[1]
            assert re.search(r'inferencestack_admission_reviews_total\{verdict="refused"\} \d\d', metrics), metrics
            ns.delete("good")
            ns.wait_gone("good")
        with Operator("--allowed-images", IMAGES, privileged=False, roots=ROOTS, name="without-webhook"):
            for file, (obj, message) in refused.items():
                status, answer, _ = create(ns.name, obj)
                assert status == 201, (file, answer)
                name = answer["metadata"]["name"]
                stalled = until(f"Stalled of {file}", lambda: condition(ns.stack(name), "Stalled"))
                assert stalled["message"] == message, f"{file}: the status says {stalled['message']}, the API server {message}"
                ns.delete(name)
                ns.wait_gone(name)


@test("what is known to crash is refused by validate, the API server and the reconciler, in the words of its row", 120)
def known_to_crash():
    # Not the flags of the others: without any, validate takes what the owner of a machine may allow as allowed.
    everything = {"privileged": True, "roots": (*ROOTS, "/var/lib/strix-e2e")}
    with Registered(), Namespace(API, "e2e-admission") as ns:
        crash = stack("crash", ns.name, [gpu_tier("one", 8001, 0.2, quantization="fp8")])
        done = subprocess.run([os.path.join(BUILD, "strix-operator"), "validate", "-f", "-"], input=json.dumps(crash), text=True,
                              capture_output=True, timeout=20)
        field, sentence = re.fullmatch(r"-(?::\d+:\d+)?: (spec\S+): (.*)\n", done.stderr).groups()
        with admitting(**everything):
            until_refusing(ns.name)
            status, answer, _ = create(ns.name, crash)
            assert status == 422 and answer["message"] == f"{DENIED}{field}: {sentence}", (answer, sentence)
        with Operator(name="without-webhook", **everything):
            status, answer, _ = create(ns.name, crash)
            assert status == 201, answer
            stalled = until("Stalled", lambda: condition(ns.stack("crash"), "Stalled"))
            assert stalled["message"] == sentence, (stalled, sentence)
            assert not ns.pods()
            ns.delete("crash")
            ns.wait_gone("crash")


@test("while nobody answers everything passes, and the reconciler says in Stalled what the webhook had said", 120)
def down():
    with Registered(), Namespace(API, "e2e-admission") as ns:
        with admitting():
            refusal = until_refusing(ns.name)
        with Operator("--allowed-images", IMAGES, privileged=False, roots=ROOTS, name="without-webhook"):
            begun = time.monotonic()
            status, answer, _ = create(ns.name, wrong_stack(ns.name))
            assert status == 201, answer
            assert time.monotonic() - begun < 5
            stalled = until("Stalled", lambda: condition(ns.stack("wrong"), "Stalled"))
            assert stalled["status"] == "True" and stalled["reason"] == "InvalidSpec"
            assert DENIED + stalled["message"] == refusal, (stalled["message"], refusal)
            assert validate(json.dumps(wrong_stack(ns.name))) == [stalled["message"]]


@test("of a stack that is wrong already the spec is judged when it changes, and labels, status and deletion go through", 120)
def only_the_spec():
    with Registered(), Namespace(API, "e2e-admission") as ns:
        status, answer, _ = create(ns.name, wrong_stack(ns.name))
        assert status == 201, answer
        with admitting():
            until_refusing(ns.name)
            path = stack_path(ns.name, "wrong")
            API.merge(path, {"metadata": {"labels": {"a": "b"}, "finalizers": ["e2e/hold"]}})
            until("Stalled", lambda: condition(ns.stack("wrong"), "Stalled"))
            try:
                API.merge(path, {"spec": {"suspend": False}})
                raise AssertionError("an update of a spec that stays wrong was let through")
            except ApiError as error:
                assert error.status == 422 and error.message.startswith(DENIED), error
            dry = API.raw("PATCH", path + "?dryRun=All", {"spec": {"suspend": False}}, "application/merge-patch+json")
            assert dry[0] == 422, dry
            API.merge(path, {"spec": {"tiers": good_stack(ns.name)["spec"]["tiers"]}})
            until("not Stalled", lambda: not condition(ns.stack("wrong"), "Stalled"))
            ns.delete("wrong")
            API.merge(path, {"spec": {"tiers": wrong_stack(ns.name)["spec"]["tiers"]}})
            until("the operator's finalizer is gone", lambda: ns.stack("wrong")["metadata"]["finalizers"] == ["e2e/hold"])
            API.merge(path, {"metadata": {"finalizers": None}})
            ns.wait_gone("wrong")


@test("a stack that does not fit is let through with the plan's sentence as a warning", 120)
def warnings():
    with Registered(), admitting(privileged=True, roots=(*ROOTS, "/var/lib/strix-e2e")), Namespace(API, "e2e-admission") as ns:
        until_refusing(ns.name)
        crowded = stack("crowded", ns.name, [gpu_tier("one", 8001, 0.6), gpu_tier("two", 8002, 0.6)], suspend=True)
        status, answer, told = create(ns.name, crowded)
        assert status == 201, answer
        done = subprocess.run([os.path.join(BUILD, "strix-operator"), "plan", "-o", "json", "-f", "-"], input=json.dumps(crowded),
                              text=True, capture_output=True, timeout=20)
        findings = [f["message"] for f in json.loads(done.stdout)["findings"] if f["code"] == "Parked"]
        assert len(findings) == 1 and told == findings, (told, findings)
        status, answer, told = create(ns.name, good_stack(ns.name))
        assert status == 201 and told == [], (answer, told)


def shown(port):
    return ssl.get_server_certificate(("127.0.0.1", port))


@test("two replicas show one certificate, settled they ask nothing, and a lost CA is replaced and published", 120)
def certificates():
    with Registered(), Namespace(API, "e2e-admission") as ns:
        with admitting(name="first") as first, admitting(name="second", port=PORT_OF_SECOND) as second:
            refusal = until_refusing(ns.name)
            assert shown(PORT) == shown(PORT_OF_SECOND)
            bundle = API.get(CONFIGURATION)["webhooks"][0]["clientConfig"]["caBundle"]
            assert bundle == API.get(SECRET)["data"]["ca.crt"]
            assert second.get("/readyz?verbose")[1].find("[+]webhook ok") >= 0
            audit = Audit()
            time.sleep(3)
            asked = {k: v for k, v in audit.table().items() if "secrets" in k or "webhook" in k}
            assert asked == {}, asked
            certificate = shown(PORT)
        API.merge(SECRET, {"data": {"ca.key": None, "ca.crt": None}})
        with admitting(name="first") as first:
            assert until_refusing(ns.name) == refusal
            assert shown(PORT) != certificate
            assert API.get(CONFIGURATION)["webhooks"][0]["clientConfig"]["caBundle"] == API.get(SECRET)["data"]["ca.crt"] != bundle
        for name in ("first", "second"):
            with open(os.path.join(STATE, "logs", f"e2e-{name}.log")) as log:
                assert "PRIVATE" not in log.read()


@test("without its Secret a replica is not ready and says what makes one, and starts to serve when it is there", 120)
def no_secret():
    with Registered() as registered, Namespace(API, "e2e-admission") as ns:
        API.delete(SECRET)
        operator = admitting()
        operator.start(ready=False)
        try:
            report = until("/readyz says why", lambda: (lambda s, b: s == 503 and "manifests/webhook" in b and b)(*operator.get("/readyz")))
            assert "[-]webhook: no certificate yet: `kubectl apply -k manifests/webhook` makes this Secret" in report, report
            kubectl("apply", "-f", "-", stdin=registered.text)
            until("/readyz", lambda: operator.get("/readyz")[0] == 200, 70)
            until_refusing(ns.name)
        finally:
            operator.stop()
