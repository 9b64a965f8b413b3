"""aws.py MODULES WHAT [FILE]: boto3 with nothing but its environment."""

import hashlib
import sys

modules, what, *more = sys.argv[1:]
sys.path.insert(0, modules)
import boto3  # noqa: E402
import botocore.config  # noqa: E402

config = botocore.config.Config(retries={"max_attempts": 0}, connect_timeout=30, read_timeout=300)


def client(service):
    return boto3.client(service, config=config)


if what == "put":
    with open(more[0], "rb") as f:
        client("s3").put_object(Bucket="bucket", Key="a b/ö+(1)", Body=f, ContentType="application/x-test", Metadata={"who": "me"})
    print("ANSWER done")
elif what == "get":
    body = client("s3").get_object(Bucket="bucket", Key="a b/ö+(1)")["Body"].read()
    print("ANSWER", len(body), hashlib.sha256(body).hexdigest())
elif what == "list":
    print("ANSWER", client("s3").list_objects_v2(Bucket="bucket", Prefix="x/y z", Delimiter="/")["KeyCount"])
elif what == "dynamodb":
    print("ANSWER", client("dynamodb").get_item(TableName="t", Key={"id": {"S": "1"}})["Item"]["word"]["S"])
elif what == "sts":
    print("ANSWER", client("sts").get_caller_identity()["Account"])
