"""Why: a proxy between an operator and the API server, so that a test can hold one certain request, refuse it or lose its
answer, and see what came of it. It ends TLS with a certificate of its own; the operator's token passes through.

A rule is a function of (method, path, body). It answers None to let the request pass, a Fault to do something to it, and
may block meanwhile: that is how a request is held.
"""
import http.server
import socketserver

from .harness import *


class Fault:
    def __init__(self, status=0, message="", lose_answer=False):
        self.status, self.message, self.lose_answer = status, message, lose_answer


class Proxy:
    def __init__(self, api):
        self.api, self.rules, self.answers = api, [], []
        self.folder = os.path.join(STATE, "proxy")
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        self._certificate()
        self.server = self._server()
        self.port = self.server.server_address[1]

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def kubeconfig(self):
        """The operator's own, with this proxy for a server."""
        with open(os.path.join(STATE, "operator", "kubeconfig")) as f:
            config = json.load(f)
        with open(self.certificate) as f:
            ca = base64.b64encode(f.read().encode()).decode()
        config["clusters"][0]["cluster"] = {"server": f"https://127.0.0.1:{self.port}", "certificate-authority-data": ca}
        path = os.path.join(self.folder, f"kubeconfig-{self.port}")
        with open(path, "w") as f:
            json.dump(config, f)
        return path

    def _certificate(self):
        self.certificate, self.key = (os.path.join(self.folder, name) for name in ("proxy.crt", "proxy.key"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
                        "-subj", "/CN=strix-e2e-proxy", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", self.key, "-out",
                        self.certificate], check=True, capture_output=True)

    def _server(self):
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def relay(self):
                proxy._relay(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = relay

        class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True

            def handle_error(self, *_):  # a client that went away
                pass

        server = Server(("127.0.0.1", 0), Handler)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self.certificate, self.key)
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        return server

    def _fault_for(self, method, path, body):
        for rule in list(self.rules):
            fault = rule(method, path, body)
            if fault is not None:
                return fault
        return None

    def _relay(self, request):
        length = int(request.headers.get("Content-Length") or 0)
        body = request.rfile.read(length) if length else b""
        fault = self._fault_for(request.command, request.path, body)
        if fault and fault.status:
            text = json.dumps({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": fault.status, "message": fault.message}).encode()
            return self._answer(request, fault.status, text, "application/json")
        upstream = self.api.connect(timeout=600)
        try:
            headers = {k: v for k, v in request.headers.items() if k.lower() not in ("host", "connection", "content-length")}
            upstream.request(request.command, request.path, body if length else None, headers)
            reply = upstream.getresponse()
            if "watch=" in request.path:
                return self._stream(request, reply)
            data = reply.read()
            self.answers.append((time.time(), request.command, request.path, body, reply.status))
            if fault and fault.lose_answer:
                request.close_connection = True
                return None
            return self._answer(request, reply.status, data, reply.headers.get("Content-Type", ""), reply.headers.get("Retry-After"))
        finally:
            upstream.close()

    @staticmethod
    def _answer(request, status, data, content_type, retry_after=None):
        request.send_response(status)
        request.send_header("Content-Type", content_type)
        request.send_header("Content-Length", str(len(data)))
        if retry_after:
            request.send_header("Retry-After", retry_after)
        request.end_headers()
        request.wfile.write(data)

    @staticmethod
    def _stream(request, reply):
        request.send_response(reply.status)
        request.send_header("Content-Type", reply.headers.get("Content-Type", ""))
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        while line := reply.readline():
            request.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
            request.wfile.flush()
        request.wfile.write(b"0\r\n\r\n")
        request.wfile.flush()
