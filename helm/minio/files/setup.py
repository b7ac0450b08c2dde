"""Make buckets, users and their rights; may run any number of times. Reads /etc/setup/setup.json and the mounted Secrets."""

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlparse

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from minio.credentials import StaticProvider
from minio.error import MinioException
from minio.minioadmin import MinioAdmin

READ = ["s3:GetObject"]
WRITE = [*READ, "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
LIST = ["s3:ListBucket", "s3:GetBucketLocation"]
LIST_UPLOADS = [*LIST, "s3:ListBucketMultipartUploads"]
WAIT_SECONDS = 120


def policy(rights):
    """The least that a user of these buckets needs."""
    statements = []
    for buckets, on_objects, on_bucket in ((rights["write"], WRITE, LIST_UPLOADS), (rights["read"], READ, LIST)):
        if buckets:
            statements.append(statement(on_bucket, [f"arn:aws:s3:::{bucket}" for bucket in buckets]))
            statements.append(statement(on_objects, [f"arn:aws:s3:::{bucket}/*" for bucket in buckets]))
    return {"Version": "2012-10-17", "Statement": statements}


def statement(actions, resources):
    return {"Effect": "Allow", "Action": actions, "Resource": resources}


def make_buckets(endpoint, wanted):
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            present = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
            break
        except BotoCoreError:
            if time.monotonic() > deadline:
                raise
            time.sleep(2)
    for bucket in wanted:
        if bucket not in present:
            client.create_bucket(Bucket=bucket)
        print(f"bucket {bucket} is there")


def make_users(endpoint, users):
    address = urlparse(endpoint)
    keys = StaticProvider(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    admin = MinioAdmin(endpoint=address.netloc, credentials=keys, secure=address.scheme == "https")
    for user, rights in users.items():
        secret = Path("/run/secrets") / user
        access_key = (secret / "access-key").read_text()
        admin.user_add(access_key=access_key, secret_key=(secret / "secret-key").read_text())
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(policy(rights), file)
            file.flush()
            admin.policy_add(policy_name=user, policy_file=file.name)
        try:
            admin.policy_set(policy_name=user, user=access_key)
        except MinioException as error:
            if "already" not in str(error):
                raise
        print(f"user {user} has its rights")


def main():
    wanted = json.loads(Path("/etc/setup/setup.json").read_text())
    try:
        make_buckets(wanted["endpoint"], wanted["buckets"])
        make_users(wanted["endpoint"], wanted["users"])
    except (BotoCoreError, ClientError, MinioException) as error:
        sys.exit(f"{wanted['endpoint']}: {error}: is MinIO up, and is its administrator's Secret the one it started with?")


main()
