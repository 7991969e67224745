"""Installs what the example workers need, compiles those that must be, and says how each is started."""
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import node
import venv
from system import DEV, ROOT, Failure, apt_install, has_apt

EXAMPLES, BUILT = ROOT / "examples", DEV / "workers"
JARS = ":".join(f"/usr/share/java/{jar}.jar" for jar in ("amqp-client", "slf4j-api", "gson"))

# Debian's packages, each with a file of its own or a command in the PATH: what is there already is not installed.
PACKAGES = {
    "ruby-bunny": "/usr/share/doc/ruby-bunny",
    "librabbitmq-client-java": "/usr/share/java/amqp-client.jar",
    "libgoogle-gson-java": "/usr/share/java/gson.jar",
    "default-jdk-headless": "javac",
    "golang-go": "go",
    "golang-github-rabbitmq-amqp091-go-dev": "/usr/share/gocode/src/github.com/rabbitmq/amqp091-go",
    "php-cli": "php",
    "php-amqp": "/usr/share/doc/php-amqp",
    "amqp-tools": "amqp-consume",
    "jq": "jq",
}


def commands():
    """The command of each worker, without the queue; and the variables that they need."""
    install_packages()
    BUILT.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor() as pool:
        work = [pool.submit(part) for part in (python, javascript, go, java)]
    interpreter, javascript_env, *_ = [each.result() for each in work]
    return {
        "python_pika": [interpreter, EXAMPLES / "python/full_worker.py"],
        "python_aio_pika": [interpreter, EXAMPLES / "python-aio/worker.py"],
        "python_kombu": [interpreter, EXAMPLES / "python-kombu/worker.py"],
        "node_amqplib": [javascript_env["NODE"], EXAMPLES / "node/worker.js"],
        "node_rabbitmq_client": [javascript_env["NODE"], EXAMPLES / "node-rabbitmq-client/worker.js"],
        "ruby_bunny": ["ruby", EXAMPLES / "ruby/worker.rb"],
        "java_amqp_client": ["java", "-cp", f"{JARS}:{BUILT / 'java'}", "Worker"],
        "go_amqp091": [BUILT / "go-worker"],
        "php_amqp": ["php", EXAMPLES / "php/worker.php"],
        "shell_amqp_tools": ["sh", EXAMPLES / "shell/worker.sh"],
    }, {**os.environ, **javascript_env}


def install_packages():
    missing = [package for package, sign in PACKAGES.items() if not (os.path.exists(sign) or shutil.which(sign))]
    if not missing:
        return
    if not has_apt():
        raise Failure(f"the example workers are run with Debian's packages, of which there are none here: "
                      f"{', '.join(missing)}")
    apt_install(*missing)


def python():
    return venv.ensure(venv.WORKER, *(EXAMPLES / f"python-{client}/requirements.txt" for client in ("aio", "kombu")))


def javascript():
    workers = [node.ensure(EXAMPLES / folder) for folder in ("node", "node-rabbitmq-client")]
    return {**workers[0], "NODE_PATH": os.pathsep.join(worker["NODE_PATH"] for worker in workers)}


def go():
    # Debian has Go's libraries as sources, in a GOPATH.
    compile_with(["go", "build", "-o", BUILT / "go-worker", EXAMPLES / "go/worker.go"],
                 {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOCACHE": str(DEV / "go-cache")})


def java():
    compile_with(["javac", "-d", BUILT / "java", "-cp", JARS, EXAMPLES / "java/Worker.java"])


def compile_with(command, env=()):
    done = subprocess.run([str(word) for word in command], env={**os.environ, **dict(env)}, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise Failure(f"{command[0]} could not compile {command[-1]}:\n{done.stdout.strip()}")
