#!/usr/bin/env python3
"""Buckets that must exist before anything is stored: made where they are not there yet.

make-buckets edgewright mlflow

Endpoint and credentials come from boto3's own chain (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, …).
"""

from __future__ import annotations

import sys

import boto3
from botocore.exceptions import ClientError

THERE_ALREADY = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")


def main(names: list[str]) -> int:
    client = boto3.client("s3")
    for name in names:
        try:
            client.create_bucket(Bucket=name)
        except ClientError as error:
            if error.response["Error"]["Code"] not in THERE_ALREADY:
                raise
            client.head_bucket(Bucket=name)  # another account's is no use to us, and says so here
        print(f"bucket {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
