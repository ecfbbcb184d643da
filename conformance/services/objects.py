"""A pod keeps objects in the S3 server, as boto3 finds it in the environment."""
import uuid

import boto3
from botocore.exceptions import ClientError

s3 = boto3.client("s3")
bucket = f"models-{uuid.uuid4()}"
s3.create_bucket(Bucket=bucket)
s3.put_object(Bucket=bucket, Key="mnist/1/weights", Body=b"weights", Metadata={"accuracy": "0.98"})
s3.put_object(Bucket=bucket, Key="mnist/2/weights", Body=b"better weights")
listed = [found["Key"] for found in s3.list_objects_v2(Bucket=bucket, Prefix="mnist/")["Contents"]]
assert listed == ["mnist/1/weights", "mnist/2/weights"], listed
first = s3.get_object(Bucket=bucket, Key="mnist/1/weights")
assert first["Body"].read() == b"weights"
# Kept as an extended attribute of the file.
assert first["Metadata"] == {"accuracy": "0.98"}, first["Metadata"]
for key in listed:
    s3.delete_object(Bucket=bucket, Key=key)
s3.delete_bucket(Bucket=bucket)
print("listed", *listed)

try:
    boto3.client("s3", aws_access_key_id="ferroflow", aws_secret_access_key="wrong").list_buckets()
except ClientError as error:
    assert error.response["Error"]["Code"] == "SignatureDoesNotMatch", error
else:
    raise AssertionError("a wrong secret is let in")
