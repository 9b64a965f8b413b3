"""The far side: an HTTP origin (TLS or plain) that records every byte it gets, and a name server. Both end with the test."""

import base64
import hashlib
import json
import socket
import ssl
import struct
import threading

RECORDED_MAX = 32 << 20  # of one body; what is longer is counted and hashed


class Origin:
    """Answers by path. connections, hellos (connections that sent a byte) and received say what reached it."""

    def __init__(self, address, cert=None, key=None, port=0):
        self.tls = None
        if cert:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(cert, key)
        self.lock = threading.Lock()
        self.files = {}  # path -> (type, bytes): what it serves beside what _answer knows
        self.release = threading.Event()  # the second server-sent event waits for it
        self.wanted = None  # what Authorization must hold; anything else is a 401
        self.reset()
        self.socket = socket.create_server((address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET, backlog=128)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def reset(self):
        with self.lock:
            self.connections = self.hellos = 0
            self.parts = []  # of what it received
            self.bodies = []  # (length, SHA-256) of each request's
            self.release.clear()

    @property
    def received(self):
        with self.lock:
            return b"".join(self.parts)

    def _accept(self):
        while True:
            connection, _ = self.socket.accept()
            with self.lock:
                self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        connection.settimeout(30)
        try:
            if not connection.recv(1, socket.MSG_PEEK):
                return
            with self.lock:
                self.hellos += 1
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            while self._exchange(connection):
                pass
        except OSError:
            pass
        finally:
            connection.close()

    def _read(self, connection, record=True):
        data = connection.recv(65536)
        if record:
            with self.lock:
                self.parts.append(data)
        return data

    def _body(self, connection, fields, begun):
        """The decoded body; None when it was too long to be kept."""
        if fields.get("transfer-encoding", "").lower() == "chunked":
            return self._chunked(connection, begun)
        length, got, kept, digest = int(fields.get("content-length", "0")), len(begun), [begun], hashlib.sha256(begun)
        while got < length:
            data = self._read(connection, length <= RECORDED_MAX)
            if not data:
                raise OSError("the body was cut short")
            got += len(data)
            digest.update(data)
            if length <= RECORDED_MAX:
                kept.append(data)
        self.bodies.append((got, digest.hexdigest()))
        return b"".join(kept) if length <= RECORDED_MAX else None

    def _chunked(self, connection, data):
        body = b""
        while True:
            while b"\r\n" not in data:
                data += self._read(connection) or self._cut()
            size, _, data = data.partition(b"\r\n")
            n = int(size, 16)
            while len(data) < n + 2:
                data += self._read(connection) or self._cut()
            body, data = body + data[:n], data[n + 2:]
            if n == 0:
                self.bodies.append((len(body), hashlib.sha256(body).hexdigest()))
                return body

    @staticmethod
    def _cut():
        raise OSError("the body was cut short")

    def _exchange(self, connection):
        data = b""
        while b"\r\n\r\n" not in data:
            more = self._read(connection)
            if not more:
                return False
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ")
        path = target.partition("?")[0]
        fields = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines[1:])}
        if fields.get("upgrade", "").lower() == "websocket":
            return self._websocket(connection, fields, body)
        body = self._body(connection, fields, body)
        if self.wanted and self.wanted not in fields.get("authorization", ""):
            connection.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\n\r\nold\n")
            return True
        self._answer(connection, method, path, fields, body)
        return fields.get("connection", "").lower() != "close"

    def _stream(self, connection, first, rest):
        """Server-sent events, of which all but the first are held back until release is set."""
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        self._chunk(connection, first)
        if self.release.wait(30):
            self._chunk(connection, rest)
            connection.sendall(b"0\r\n\r\n")

    def _bytes(self, connection, n):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n" % n)
        block = bytes(1 << 20)
        while n > 0:
            connection.sendall(block[:n])
            n -= len(block)

    def _websocket(self, connection, fields, data):
        """RFC 6455: shakes hands and gives every frame back, unmasked, until the close frame."""
        key = fields.get("sec-websocket-key", "") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest())
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n")

        def take(n):
            nonlocal data
            while len(data) < n:
                data += connection.recv(65536) or self._cut()
            part, data = data[:n], data[n:]
            return part
        while True:
            head = take(2)
            n = head[1] & 127
            if n > 125:
                n = int.from_bytes(take(2 if n == 126 else 8), "big")
            mask = take(4)
            body = bytes(b ^ mask[i % 4] for i, b in enumerate(take(n)))
            length = bytes([n]) if n < 126 else b"\x7e" + n.to_bytes(2, "big") if n < 65536 else b"\x7f" + n.to_bytes(8, "big")
            connection.sendall(head[:1] + length + body)
            if head[0] & 15 == 8:
                return False

    def _answer(self, connection, method, path, fields, asked):
        if path.endswith("/sse"):
            self._stream(connection, b"data: first\n\n", b"data: second\n\n")
            return
        for end, events in STREAMS.items():
            if path.endswith(end) and (b'"stream":true' in (asked or b"").replace(b" ", b"") or "stream" in end):
                self._stream(connection, *events)
                return
        if "/bytes/" in path:
            self._bytes(connection, int(path.rpartition("/")[2]))
            return
        body, kind = b"hello from the origin\n", b"text/plain"
        if path in self.files:
            kind, body = self.files[path]
        elif path.endswith("/chat/completions"):
            body, kind = CHAT, b"application/json"
        elif path.endswith("/messages"):
            body, kind = MESSAGE, b"application/json"
        elif path.endswith(":generateContent"):
            body, kind = gemini("origin says hi"), b"application/json"
        elif path.endswith("/files") and method == "POST":
            body, kind = FILE % self.bodies[-1][0], b"application/json"
        elif path.endswith("/echo"):  # a hostile origin gives the credential back
            body = "\n".join(fields.get(n, "") for n in ("authorization", "x-api-key")).encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (kind, len(body))
        connection.sendall(head + (b"" if method == "HEAD" else body))

    @staticmethod
    def _chunk(connection, data):
        connection.sendall(b"%x\r\n%s\r\n" % (len(data), data))


CHAT = (b'{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"finish_reason":"stop",'
        b'"message":{"role":"assistant","content":"origin says hi"}}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}')
MESSAGE = (b'{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"origin says hi"}],'
           b'"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}')
FILE = b'{"id":"file-1","object":"file","bytes":%d,"created_at":1,"filename":"f","purpose":"user_data","status":"processed"}'


def gemini(text):
    return json.dumps({"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": "STOP", "index": 0}]}).encode()


def chat(delta, end=None):
    return b"data: %s\n\n" % json.dumps({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
                                         "choices": [{"index": 0, "delta": delta, "finish_reason": end}]}).encode()


def message(kind, **more):
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), json.dumps({"type": kind, **more}).encode())


def words(text):
    return message("content_block_delta", index=0, delta={"type": "text_delta", "text": text})


# What the vendors' streams look like, by the end of the path: the first words, and what is held back.
STREAMS = {
    "/chat/completions": (chat({"role": "assistant", "content": "origin "}), chat({"content": "says hi"}) + chat({}, "stop") + b"data: [DONE]\n\n"),
    "/messages": (message("message_start", message={"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None,
                                                    "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}})
                  + message("content_block_start", index=0, content_block={"type": "text", "text": ""}) + words("origin "),
                  words("says hi") + message("content_block_stop", index=0)
                  + message("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 2}) + message("message_stop")),
    ":streamGenerateContent": (b"data: " + gemini("origin ") + b"\n\n", b"data: " + gemini("says hi") + b"\n\n"),
}


class Names:
    """A name server for A records; asked lists every question, so that a test can say that there was none."""

    def __init__(self, table, address=("127.0.0.1", 0)):
        self.table = table
        self.asked = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            query, peer = self.socket.recvfrom(4096)
            answer = self._answer(query)
            if answer:
                self.socket.sendto(answer, peer)

    def _answer(self, query):
        labels, at = [], 12
        while at < len(query) and query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1"))
            at += 1 + query[at]
        if at + 5 > len(query):
            return None
        name, kind = ".".join(labels).lower(), struct.unpack("!H", query[at + 1:at + 3])[0]
        self.asked.append(name)
        question, address = query[12:at + 5], self.table.get(name)
        found = address is not None and kind == 1
        head = query[:2] + struct.pack("!HHHHH", 0x8580 if address else 0x8583, 1, int(found), 0, 0)
        record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 0, 4) + socket.inet_aton(address) if found else b""
        return head + question + record
