"""Why: what a client sees of a tier through its Service, counted by one that asks all the time."""
from .harness import *


class Client(threading.Thread):
    """Asks one tier, each time on a new connection, and counts what comes back.

    `refused`: nobody behind the Service (what clients see of a tier that is not serving). `answered`: 200 and a choice.
    `wrong`: anything else, of a request that was accepted: it was lost, or came from an engine that should not have been
    reached.

    That nobody is there, a client learns from the node's ICMP message, which has its whims. The kernel sends a peer only
    one a second, and forgets the one that comes while connect() itself is running, so a connection may be left to repeat
    its SYN after 1, 3, 7, ... seconds: hence the short wait. And the error may come out of the first send(): a connection
    that was ever established does not say ECONNREFUSED (tcp(7); a reset is ECONNRESET).
    """

    CONNECT_SECONDS, ANSWER_SECONDS = 2, 60

    def __init__(self, address, tokens=2):
        super().__init__(daemon=True)
        self.address, self.tokens, self.ended = address, tokens, threading.Event()
        self.answered, self.refused, self.wrong = 0, 0, []

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join(70)

    def run(self):
        body = json.dumps({"model": "any", "max_tokens": self.tokens, "messages": [{"role": "user", "content": "Hi"}]})
        while not self.ended.wait(0.01):
            connection = http.client.HTTPConnection(*self.address, timeout=self.CONNECT_SECONDS)
            begun = time.time()
            try:
                try:
                    connection.connect()
                except OSError:
                    self.refused += 1
                    continue
                connection.sock.settimeout(self.ANSWER_SECONDS)
                connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
                reply = connection.getresponse()
                text = reply.read()
                if reply.status == 200 and json.loads(text)["choices"]:
                    self.answered += 1
                else:
                    self.wrong.append(f"{reply.status} {text[:100]!r} after {time.time() - begun:.1f} s")
            except ConnectionRefusedError:
                self.refused += 1
            except (OSError, ValueError, http.client.HTTPException) as error:
                self.wrong.append(f"{error!r} after {time.time() - begun:.1f} s")
            finally:
                connection.close()
