"""The far side: an HTTP origin (TLS or plain) that records every byte it gets, and a name server. Both end with the test."""

import socket
import ssl
import struct
import threading


class Origin:
    """Answers by path. connections, hellos (connections that sent a byte) and received say what reached it."""

    def __init__(self, address, cert=None, key=None):
        self.tls = None
        if cert:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(cert, key)
        self.lock = threading.Lock()
        self.files = {}  # path -> (type, bytes): what it serves beside what _answer knows
        self.release = threading.Event()  # the second server-sent event waits for it
        self.reset()
        self.socket = socket.create_server((address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET, backlog=128)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def reset(self):
        with self.lock:
            self.connections = self.hellos = 0
            self.received = b""
            self.release.clear()

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

    def _read(self, connection):
        data = connection.recv(65536)
        with self.lock:
            self.received += data
        return data

    def _exchange(self, connection):
        data = b""
        while b"\r\n\r\n" not in data:
            more = self._read(connection)
            if not more:
                return False
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        method, path, _ = lines[0].split(" ")
        fields = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines[1:])}
        if fields.get("transfer-encoding", "").lower() == "chunked":
            while not body.endswith(b"0\r\n\r\n"):
                body += self._read(connection)
        while len(body) < int(fields.get("content-length", "0")):
            body += self._read(connection)
        self._answer(connection, method, path.partition("?")[0], fields)
        return True

    def _answer(self, connection, method, path, fields):
        if path.endswith("/sse"):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            self._chunk(connection, b"data: first\n\n")
            if self.release.wait(30):
                self._chunk(connection, b"data: second\n\n")
                connection.sendall(b"0\r\n\r\n")
            return
        body, kind = b"hello from the origin\n", b"text/plain"
        if path in self.files:
            kind, body = self.files[path]
        elif path.endswith("/chat/completions"):
            body, kind = CHAT, b"application/json"
        elif path.endswith("/messages"):
            body, kind = MESSAGE, b"application/json"
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
