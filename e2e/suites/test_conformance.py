"""Why: the simulation stands on an API server of its own; here the same random requests go to it and to a real one,
and the answers are compared."""
from .harness import *

CONFORMANCE = os.path.join(BUILD, "unit", "strix-conformance")
SEQUENCES = os.environ.get("STRIX_E2E_SEQUENCES", "1:200")


@contextlib.contextmanager
def api_only():
    """A control plane of its own with nobody in it but the garbage collector: the program plays all the others."""
    env = dict(os.environ, STRIX_E2E_STATE="/var/tmp/strix-e2e-conformance", STRIX_E2E_PORT_BASE="16600",
               STRIX_E2E_CONTROLLER_MANAGER_ARGS="--controllers=garbage-collector-controller")

    def run(*args):
        done = subprocess.run([os.path.join(HERE, "cluster"), *args, "--control-plane-only"], env=env, text=True, capture_output=True,
                              timeout=300)
        assert done.returncode == 0, f"e2e/cluster {' '.join(args)}: {done.stderr[-2000:]}"

    kubeconfig = os.path.join(env["STRIX_E2E_STATE"], "kubeconfig")
    run("reset")
    run("up")
    try:
        subprocess.run([kubectl_path(), "--kubeconfig", kubeconfig, "apply", "--server-side", "-f", os.path.join(ROOT, "crds")],
                       check=True, capture_output=True, timeout=60)
        run("start", "controller-manager")
        yield kubeconfig
    finally:
        run("reset")


@test("the simulation's API server answers random sequences of requests as a real one does", 1500)
def conformance():
    with api_only() as kubeconfig:
        done = subprocess.run([CONFORMANCE, "--kubeconfig", kubeconfig, "--seeds", SEQUENCES], text=True, capture_output=True,
                              timeout=1400)
    print(done.stdout[-3000:])
    assert done.returncode == 0, f"{done.stdout[-4000:]}{done.stderr[-1000:]}"
    for answer in ("AdmitPod: ok", "AdmitPod: Conflict", "DeletePod: Conflict", "DeleteStack: ok", "ApplyStatus: Conflict"):
        assert f"  {answer}\n" in done.stdout, f"no sequence had {answer}"
