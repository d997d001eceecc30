"""A local S3 server, and the environment that leads s3fs to it."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import requests
import s3fs
from moto.server import ThreadedMotoServer

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "a-secret-of-nobody-0123456789",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_MAX_ATTEMPTS": "1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_PROXY": "127.0.0.1",
}


class S3Server:
    """A server on this machine; its bucket is empty at first, and again whenever it starts."""

    def __init__(self) -> None:
        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.server.start()
        self.port = int(self.server.get_host_and_port()[1])

    @property
    def environment(self) -> dict[str, str]:
        return ENVIRONMENT | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}"}

    def stop(self) -> None:
        """Stop to answer; what lies there stays."""
        self.server.stop()

    def start(self) -> None:
        """Answer again at the same port."""
        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=self.port, verbose=False)
        self.server.start()


@contextmanager
def s3_server(bucket: str) -> Iterator[S3Server]:
    """Start a server with a bucket; s3fs of this process and of its children finds it."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server, before = S3Server(), dict(os.environ)
    os.environ.update(server.environment)
    s3fs.S3FileSystem.clear_instance_cache()
    try:
        # What moto holds belongs to the process: a server before this one may have left a bucket.
        requests.post(f"{server.environment['AWS_ENDPOINT_URL']}/moto-api/reset", timeout=60).raise_for_status()
        s3fs.S3FileSystem(use_listings_cache=False).mkdir(bucket)
        yield server
    finally:
        os.environ.clear()
        os.environ.update(before)
        s3fs.S3FileSystem.clear_instance_cache()
        server.stop()
