"""boto3 and the AWS command line behind a route that signs anew; the origin checks every signature with code of its own (sigv4.py)."""

import hashlib
import os
import shutil
import subprocess
import urllib.parse

from lib import sigv4
from lib.sdks import INSTALLED, install
from lib.world import DEADLINE, PYTHON, Skip, check

KEY_ID, SECRET, TOKEN = "AKIAREALREALREALREAL", "rEaLsEcReT/rEaLsEcReT+rEaLsEcReTrEaLsEcR", "IQoJb3JpZ2luX2VjREAL////SESSIONTOKEN=="
KEY = "/bucket/" + urllib.parse.quote("a b/ö+(1)", safe="/-._~")
MIB = 1 << 20


def modules(*packages):
    have = subprocess.run([PYTHON, "-m", "pip", "--version"], capture_output=True, text=True, timeout=DEADLINE)
    if have.returncode:
        raise Skip(have.stderr.strip().splitlines()[-1])
    return install(os.path.join(INSTALLED, "aws"), [PYTHON, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--root-user-action=ignore", "--retries=1",
                                                    "--target", ".", *packages], ["boto3", "awscli"])


SERVICES = ("s3", "dynamodb", "sts")


def installed(world, cli):
    """Where the child can read them, less than all the 200 MB: only the models of the services that boto3 is asked for; the command line has its own."""
    def unneeded(folder, names):
        if folder.endswith(os.path.join("aws", "botocore", "data")):
            return [n for n in names if n not in SERVICES and "." not in n]
        return [n for n in names if n in ("examples", "topics") or n.endswith(".dist-info") or (n == "awscli" and not cli)]
    folder = os.path.join(world.folder, "modules")
    if not os.path.exists(folder):
        shutil.copytree(modules("boto3", "awscli"), folder, ignore=unneeded)
    return folder


def policy(world, token):
    parts = 'access_key: "env:INTEROP_AWS_ID", secret_key: "env:INTEROP_AWS_SECRET"' + (', session_token: "env:INTEROP_AWS_TOKEN"' if token else "")
    path = os.path.join(world.folder, "aws.yaml")
    with open(path, "w") as f:
        f.write(f"""egress: 1
services:
  aws:
    upstream: https://svc.interop.test:{world.api.port}
    credential: aws
    accept: [sigv4]
    write: [sigv4]
    env: {{base_url: AWS_ENDPOINT_URL}}
credentials:
  aws: {{aws_sigv4: {{{parts}}}, hosts: [svc.interop.test]}}
networks: {{allow: [127.0.0.2/32]}}
dns: {{servers: ["127.0.0.1:{world.names.port}"]}}
tls: {{ca: {world.ca}, system: false}}
""")
    return path


def run(world, *command, token=False):
    """In `egressctl run`; the answer's line. What the origin got is signed with the real keys, and nothing of the child's is in it."""
    world.api.reset()
    command = [c.replace("@MODULES@", installed(world, "awscli" in command)) for c in command]
    env = world.environment(INTEROP_AWS_ID=KEY_ID, INTEROP_AWS_SECRET=SECRET, INTEROP_AWS_TOKEN=TOKEN, AWS_DEFAULT_REGION="eu-central-1", AWS_EC2_METADATA_DISABLED="true",
                            AWS_MAX_ATTEMPTS="1")
    argv = world.command("sh", "-c", 'echo "$AWS_ACCESS_KEY_ID $AWS_SECRET_ACCESS_KEY"; echo "TOKEN $AWS_SESSION_TOKEN"; exec "$@"', "sh", *command, policy=policy(world, token))
    r = world.finish(world.start(argv, env))
    check(r.code == 0, r)
    ours, left = r.out.splitlines()[:2]
    check(left == "TOKEN " and SECRET not in r.out + r.err and KEY_ID not in r.out + r.err, r)
    key_id, secret = ours.split()
    got = world.api.received
    check(len(key_id) == 20 and len(secret) == 40 and key_id.encode() not in got and secret.encode() not in got and SECRET.encode() not in got, (ours, got[:4000]))
    check((TOKEN.encode() in got) == token, got[:4000])
    return r.out


def verified(world):
    """The one request that the origin got: its target, fields and body's hash."""
    head = world.api.received.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ")
    fields = [(n, v.strip()) for n, _, v in (line.partition(":") for line in head[1:])]
    check(len(world.api.bodies) == 1, world.api.bodies)
    length, digest = world.api.bodies[0]
    why = sigv4.fault(method, target, fields, digest, KEY_ID, SECRET)
    check(why is None, why)
    return target, {n.lower(): v for n, v in fields}, length, digest


def boto(world, what, *more, token=False):
    return run(world, PYTHON, os.path.join(world.child, "aws.py"), "@MODULES@", what, *more, token=token)


def file_of(world, n):
    path, body = os.path.join(world.folder, "body"), os.urandom(MIB) * (n // MIB)
    with open(path, "wb") as f:
        f.write(body)
    os.chmod(path, 0o644)
    return path, hashlib.sha256(body).hexdigest()


def put(world, n, token=False):
    path, digest = file_of(world, n)
    world.api.files[KEY] = (b"application/xml", b"")
    check("ANSWER done" in boto(world, "put", path, token=token), "no answer")
    target, fields, length, got = verified(world)
    check(target == KEY and (length, got) == (n, digest), (target, length, got))
    check(fields["x-amz-meta-who"] == "me" and fields["content-type"] == "application/x-test" and fields["host"].startswith("svc.interop.test"), fields)


def test_boto3_put_of_a_mebibyte(world):
    put(world, MIB)


def test_boto3_put_of_100_mebibytes(world):
    put(world, 100 * MIB)


def test_boto3_with_a_session_token(world):
    put(world, MIB, token=True)


def get(world, n):
    body = os.urandom(MIB) * (n // MIB)
    world.api.files[KEY] = (b"application/octet-stream", body)
    check(f"ANSWER {n} {hashlib.sha256(body).hexdigest()}" in boto(world, "get"), "another body")
    verified(world)


def test_boto3_get_of_a_mebibyte(world):
    get(world, MIB)


def test_boto3_get_of_100_mebibytes(world):
    get(world, 100 * MIB)


def test_boto3_lists(world):
    world.api.files["/bucket"] = (b"application/xml", b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><KeyCount>7</KeyCount></ListBucketResult>')
    check("ANSWER 7" in boto(world, "list"), "no answer")
    verified(world)


def test_boto3_dynamodb(world):
    world.api.files["/"] = (b"application/x-amz-json-1.0", b'{"Item":{"word":{"S":"hi"}}}')
    check("ANSWER hi" in boto(world, "dynamodb"), "no answer")
    check(verified(world)[1]["x-amz-target"] == "DynamoDB_20120810.GetItem", "another target")


IDENTITY = (b'<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>a</Arn><UserId>u</UserId>'
            b"<Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>")


def test_boto3_sts(world):
    world.api.files["/"] = (b"text/xml", IDENTITY)
    check("ANSWER 123456789012" in boto(world, "sts"), "no answer")
    verified(world)


def cli(world, *words):
    return run(world, "env", "PYTHONPATH=@MODULES@", PYTHON, "-m", "awscli", *words)


def test_aws_cli_identity(world):
    world.api.files["/"] = (b"text/xml", IDENTITY)
    check('"Account": "123456789012"' in cli(world, "sts", "get-caller-identity", "--output", "json"), "no answer")
    verified(world)


def test_aws_cli_put(world):
    path, digest = file_of(world, MIB)
    world.api.files["/bucket/k"] = (b"application/xml", b"")
    cli(world, "s3api", "put-object", "--bucket", "bucket", "--key", "k", "--body", path)
    check(verified(world)[2:] == (MIB, digest), world.api.bodies)
