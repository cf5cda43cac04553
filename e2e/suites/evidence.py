"""Why: what a failed test leaves in its log, so that a failure which does not come back can still be understood: the
stacks, pods and events of its namespace and the end of the operators' logs, read before the namespace is emptied.
May not: fail, or wait long; the test's own error is the news."""
import contextlib
import glob
import os
import time

LOG_LINES_MAX = 25
EVENTS_MAX = 25


def tail(path, lines=LOG_LINES_MAX, bytes_max=64 << 10):
    with open(path, "rb") as f:
        f.seek(max(0, os.path.getsize(path) - bytes_max))
        return f.read().decode(errors="replace").splitlines()[-lines:]


def stacks_told(items):
    for obj in items:
        status = obj.get("status", {})
        yield (f"stack {obj['metadata']['name']} generation {obj['metadata']['generation']} "
               f"observed {status.get('observedGeneration')} summary {status.get('summary')}")
        for one in status.get("conditions", []):
            yield f"  {one['type']}={one['status']} {one['reason']}: {one['message']}"
        for one in status.get("tiers", []):
            yield (f"  tier {one['name']}: {one.get('state')} {one.get('reason')} since {one.get('since')}: {one.get('message')} "
                   f"(last failure {one.get('lastFailure')})")


def pods_told(items):
    for pod in items:
        status = pod.get("status", {})
        yield (f"pod {pod['metadata']['name']} on {pod['spec'].get('nodeName')} {status.get('phase')} "
               f"gates {[g['name'] for g in pod['spec'].get('schedulingGates', [])]} "
               f"created {pod['metadata']['creationTimestamp']} deleted {pod['metadata'].get('deletionTimestamp')}")
        for one in status.get("conditions", []):
            yield f"  {one['type']}={one['status']} {one.get('reason', '')} at {one.get('lastTransitionTime')}"
        for one in status.get("containerStatuses", []):
            yield f"  container {one['name']} ready={one.get('ready')} {one.get('state')}"


def events_told(items):
    def when(event):
        return event.get("eventTime") or event.get("lastTimestamp") or event["metadata"]["creationTimestamp"]

    for event in sorted(items, key=when)[-EVENTS_MAX:]:
        of = event.get("regarding") or event.get("involvedObject") or {}
        yield f"event {when(event)} {of.get('kind')}/{of.get('name')} {event.get('reason')}: {event.get('message') or event.get('note')}"


def print_of(api, namespace, stacks_path, logs_folder):
    """Prints what the namespace holds; each part for itself, since the API server may be what failed."""
    paths = {stacks_told: stacks_path, pods_told: f"/api/v1/namespaces/{namespace}/pods",
             events_told: f"/api/v1/namespaces/{namespace}/events"}
    print(f"        evidence of {namespace} at {time.strftime('%H:%M:%S', time.gmtime())}Z:")
    for told, path in paths.items():
        with contextlib.suppress(Exception):
            for line in told(api.items(path)):
                print(f"        | {line}")
    with contextlib.suppress(Exception):
        newest = max(glob.glob(os.path.join(logs_folder, "e2e-*.log")), key=os.path.getmtime)
        for line in tail(newest):
            print(f"        | {os.path.basename(newest)}: {line}")
