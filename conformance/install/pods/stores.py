"""Makes or removes databases and a bucket, as libpq and boto3 find the servers in the environment.

    stores.py make|remove BUCKET DATABASE…
"""

import sys

import boto3
import psycopg

act, bucket, *databases = sys.argv[1:]
with psycopg.connect(dbname="postgres", autocommit=True) as connection:
    for name in databases:
        connection.execute(f'CREATE DATABASE "{name}"' if act == "make" else f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
s3 = boto3.client("s3")
if act == "make":
    s3.create_bucket(Bucket=bucket)
else:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for one in page.get("Contents", []):
            s3.delete_object(Bucket=bucket, Key=one["Key"])
    s3.delete_bucket(Bucket=bucket)
