"""A component server over HTTP with nothing but the standard library. Argument: a directory for marks.

It says its port on stdout, between lines of print. `/ask` asks the gateway in the stream of its answer, as servers of the field
do; others answer in ways that a server may, and in ways that it should not.
"""

import http.server
import json
import os
import sys
import threading
import time

MARKS = sys.argv[1]
INSTANCE = "instance-1"
answers = {}
came = threading.Condition()
NAMES = ("echo", "ask", "fail", "plain", "cut", "crash_once", "hang", "large", "status")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, body, status=200, kind="application/json", **headers):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def result(self, request_id, result):
        self.answer(json.dumps({"jsonrpc": "2.0", "id": request_id, "result": result}, indent=1).encode())

    def begin_stream(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Stepflow-Instance-Id", INSTANCE)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def event(self, message):
        data = b"data: " + json.dumps(message).encode() + b"\n\n"
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.flush()

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        request_id, method = message.get("id"), message.get("method")
        if method is None:
            with came:
                answers[request_id] = (message, self.headers.get("Stepflow-Instance-Id"), self.headers.get("X-Asked"))
                came.notify_all()
            self.answer(b'""', 202)
        elif request_id is None:
            self.answer(b'{"error": {"message": "no such notification"}}', 500)
        elif method == "initialize":
            self.result(request_id, {"serverProtocolVersion": 1})
        elif method == "components/list":
            self.result(request_id, {"components": [{"component": "/" + name} for name in NAMES]})
        else:
            self.execute(request_id, message["params"]["component"], message["params"]["input"], message["params"])

    def execute(self, request_id, component, given, params):
        if component == "/echo":
            self.result(request_id, {"output": given})
        elif component == "/large":
            self.result(request_id, {"output": "x" * given})
        elif component == "/fail":
            error = {"jsonrpc": "2.0", "id": request_id, "error": {"code": -32004, "message": "no such luck"}}
            self.answer(json.dumps(error).encode(), 500)
        elif component == "/plain":
            self.answer(b'{"error": {"code": -32600, "message": "not like that"}}', 400)
        elif component == "/status":
            self.answer(b"<html>Bad Gateway</html>", 502, "text/html")
        elif component == "/crash_once":
            mark = os.path.join(MARKS, "crashed")
            if not os.path.exists(mark):
                open(mark, "w").close()
                os._exit(3)
            self.result(request_id, {"output": "second try"})
        elif component == "/hang":
            open(os.path.join(MARKS, "hanging"), "w").close()
            try:
                while True:  # until the connection is closed
                    time.sleep(0.05)
                    self.connection.setblocking(False)
                    try:
                        if not self.connection.recv(1):
                            break
                    except BlockingIOError:
                        continue
            finally:
                open(os.path.join(MARKS, "hung_up"), "w").close()
        elif component == "/cut":
            self.begin_stream()
            self.event({"jsonrpc": "2.0", "method": "log", "params": {}})
            self.close_connection = True
            self.connection.close()
        elif component == "/ask":
            self.begin_stream()
            token = {"taskToken": params["taskToken"]}
            for number, (wanted, asked) in enumerate(given):
                asked_id = f"{request_id}-{number}"
                self.event({"jsonrpc": "2.0", "id": asked_id, "method": wanted, "params": {**asked, **token}})
                with came:
                    came.wait_for(lambda asked_id=asked_id: asked_id in answers, 10)
            said = [answers.pop(f"{request_id}-{number}") for number in range(len(given))]
            output = [[message.get("result", message.get("error")), instance, header] for message, instance, header in said]
            self.event({"jsonrpc": "2.0", "id": request_id, "result": {"output": output}})
            self.wfile.write(b"0\r\n\r\n")


print("warming up", flush=True)
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 0), Handler)
server.daemon_threads = True
print(json.dumps({"port": server.server_address[1]}), flush=True)
print("ready", flush=True)
server.serve_forever()
