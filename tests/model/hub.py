"""A server like the hub, for the files of one repository."""

import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0" * 40


@contextmanager
def hub_server(files, stops_at):
    """The address of a server that has `files` (name to bytes), and the names of those it sent.

    The first time, half of the file `stops_at` is sent, and no more until the server ends.
    """
    sent, ended = [], threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_HEAD(self):
            self.start()

        def do_GET(self):
            reply, name = self.start()
            if name is not None:
                sent.append(name)
            if name == stops_at and sent.count(name) == 1:
                self.wfile.write(reply[: len(reply) // 2])
                ended.wait()
            else:
                self.wfile.write(reply)

        def start(self):
            """Send the headers; the content to send, and the name of its file."""
            name = self.path.rsplit("/", 1)[1] if "/resolve/" in self.path else None
            if name is not None:
                reply = files[name]
            elif "/tree/" in self.path:
                reply = [
                    {"type": "file", "path": name, "size": len(content), "oid": COMMIT}
                    for name, content in files.items()
                ]
            else:
                siblings = [{"rfilename": name} for name in files]
                reply = {"id": "x", "sha": COMMIT, "siblings": siblings}
            reply = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
            self.send_response(200)
            self.send_header("ETag", f'"{hashlib.sha256(reply).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            return reply, name

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", sent
    finally:
        ended.set()
        server.shutdown()
        server.server_close()
