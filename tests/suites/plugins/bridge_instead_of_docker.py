"""A pytest plugin. The suites of aiormq and aio-pika start RabbitMQ in Docker; with this they use the running bridge."""
import os

import pytest
from yarl import URL

PORT = int(os.environ["RABBITMQ_5672_TCP"])
TLS_PORT = int(os.environ["RABBITMQ_5671_TCP"])


class Bridge:
    id = "activity-bridge"
    host = "127.0.0.1"
    ports = {"5672/tcp": PORT, "5671/tcp": TLS_PORT}


try:
    from tests import docker_client
except ImportError:
    docker_client = None

if docker_client is not None:
    docker_client.check_docker_available = lambda *args, **kwargs: None

    class Client:
        def __init__(self, *args, **kwargs):
            pass

        def run(self, image, ports, environment=None):
            if "rabbitmq" not in image:
                pytest.skip(f"needs the image {image}")
            return Bridge()

        def kill(self, container):
            pass

        remove = stop = kill

    docker_client.DockerClient = Client


@pytest.fixture(scope="session")
def rabbitmq_container():
    return Bridge()


@pytest.fixture(scope="session")
def amqp_direct_url():
    return URL.build(scheme="amqp", user="guest", password="guest", path="//", host="127.0.0.1", port=PORT)
