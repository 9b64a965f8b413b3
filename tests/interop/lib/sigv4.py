"""AWS Signature Version 4 as an origin checks it: written from AWS's documentation, without a line of ours or of botocore.

As a program: sigv4.py RECORD KEY_ID SECRET reads the requests that an origin recorded one behind the other, and prints for each VALID or what is wrong
with it; then what was signed, one field a line."""

import datetime
import hashlib
import hmac
import re
import sys
import urllib.parse

SAFE = "-._~"


def _path(path, service):
    if service == "s3":  # as it is: decoded and encoded once
        return "/".join(urllib.parse.quote(urllib.parse.unquote_to_bytes(s), safe=SAFE) for s in path.split("/"))
    segments = []
    for s in path.split("/"):
        if s == "..":
            del segments[-1:]
        elif s not in ("", "."):
            segments.append(urllib.parse.quote(s, safe=SAFE))
    return "/" + "/".join(segments) + ("/" if segments and path.endswith("/") else "")


def _query(query):
    pairs = []
    for pair in filter(None, query.split("&")):
        name, _, value = pair.partition("=")
        pairs.append(tuple(urllib.parse.quote(urllib.parse.unquote_to_bytes(x), safe=SAFE) for x in (name, value)))
    return "&".join(f"{n}={v}" for n, v in sorted(pairs))


def _hmac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def fault(method, target, fields, body_hash, key_id, secret, now=None):
    """None when the request is signed with that key; else a sentence. fields: (name, value) as they came; body_hash: hex SHA-256 of the body."""
    values = {}
    for name, value in fields:
        values.setdefault(name.lower(), []).append(" ".join(value.split()))
    if len(values.get("authorization", [])) != 1:
        return "not one Authorization field"
    found = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})",
                         values["authorization"][0])
    if not found:
        return "Authorization is malformed: " + values["authorization"][0]
    who, day, region, service, signed, signature = found.groups()
    if who != key_id:
        return f"signed by {who}"
    time = values.get("x-amz-date", [""])[0]
    then = datetime.datetime.strptime(time, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
    if abs((now or datetime.datetime.now(datetime.timezone.utc)) - then) > datetime.timedelta(minutes=15) or time[:8] != day:
        return f"the time is {time}"
    names = signed.split(";")
    missing = [n for n in values if (n.startswith("x-amz-") or n == "host") and n not in names]
    if missing or names != sorted(set(names)):
        return f"not signed: {missing}; signed: {signed}"
    payload = values.get("x-amz-content-sha256", [body_hash])[0]
    if re.fullmatch("[0-9a-f]{64}", payload) and payload != body_hash:
        return "the body is not the one that was signed"
    path, _, query = target.partition("?")
    canonical = "\n".join([method, _path(path, service), _query(query), *(f"{n}:{','.join(values[n])}" for n in names), "", signed, payload])
    text = "\n".join(["AWS4-HMAC-SHA256", time, f"{day}/{region}/{service}/aws4_request", hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + secret).encode()
    for part in (day, region, service, "aws4_request"):
        key = _hmac(key, part)
    return None if hmac.compare_digest(_hmac(key, text).hex(), signature) else "another signature; what is signed here:\n" + canonical


def _chunked(data):
    body = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        n = int(size, 16)
        body, data = body + data[:n], data[n + 2:]
        if n == 0:
            return body, data


def requests(data):
    """(method, target, fields, body) of each."""
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ")
        fields = [(n, v.strip()) for n, _, v in (line.partition(":") for line in lines[1:])]
        values = {n.lower(): v for n, v in fields}
        if values.get("transfer-encoding", "").lower() == "chunked":
            body, data = _chunked(data)
        else:
            n = int(values.get("content-length", "0"))
            body, data = data[:n], data[n:]
        yield method, target, fields, body


def main(record, key_id, secret):
    with open(record, "rb") as f:
        data = f.read()
    for method, target, fields, body in requests(data):
        why = fault(method, target, fields, hashlib.sha256(body).hexdigest(), key_id, secret)
        print("VALID" if why is None else "WRONG " + why, method, target, len(body))


if __name__ == "__main__":
    main(*sys.argv[1:])
