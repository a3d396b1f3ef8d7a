"""The brokers of ./dev bench: their configurations, and one fresh process for each run."""

import contextlib
import hashlib
import base64
import os
import pathlib
import resource
import shlex
import shutil
import signal
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
NOCTULE = pathlib.Path(os.environ.get("NOCTULE_BIN", ROOT / "build" / "noctule")).resolve()
BROKER_CPU = os.environ.get("BENCH_BROKER_CPU", "0")
LOAD_CPU = os.environ.get("BENCH_LOAD_CPU", "1")
USERS, RULES_EACH, LOGINS = 1000, 5, 10001

LIMITS = """limits:
  queued_messages: 10000000
  queued_bytes: 4GiB
  send_buffer: 64MiB
  inflight: 1000
log:
  level: error
"""
MOSQUITTO = """listener {port} 127.0.0.1
{listener}allow_anonymous {anonymous}
set_tcp_nodelay true
max_queued_messages 0
max_queued_bytes 0
max_inflight_messages 1000
persistence false
log_type error
user root
{more}"""


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def pinned(cpu, command):
    words = list(map(str, command))
    return ["taskset", "-c", cpu, *words] if len(os.sched_getaffinity(0)) > 1 and shutil.which("taskset") else words


class NotHere(Exception):
    """A variant that this broker lacks."""


# ---------------------------------------------------------------------------------------------- shared files


def make_files(folder):
    """Certificates, rules and passwords, the same for all brokers."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", folder / "key.pem", "-out", folder / "cert.pem", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
    rules = []
    for user in range(USERS):
        rules.append(f"user user-{user}")
        rules += [f"topic readwrite site-{user}/{rule}/#" for rule in range(RULES_EACH - 1)]
        rules.append("topic readwrite bench/#")
    (folder / "rules").write_text("\n".join(rules) + "\n")
    (folder / "rules-many").write_text("".join(f"user user-{user}\ntopic readwrite bench/#\n" for user in range(LOGINS)))
    salt = b"twelve bytes"
    with open(folder / "passwords", "w") as out:
        for user in range(LOGINS):
            key = hashlib.pbkdf2_hmac("sha512", f"secret-{user}".encode(), salt, 101)
            out.write(f"user-{user}:$7$101${base64.b64encode(salt).decode()}${base64.b64encode(key).decode()}\n")
    (folder / "key.pem").chmod(0o600)
    (folder / "passwords").chmod(0o600)


# ---------------------------------------------------------------------------------------------- configurations


def noctule_plugins(variant, folder, backend):
    """The plugins of a variant, as pairs of a name and the rest of its entry."""
    logins = ("file-auth", f"config: {{password_file: {folder}/passwords}}")
    return {
        "passwords": [logins],
        "acl": [logins, ("acl-file", f"config: {{acl_file: {folder}/rules}}")],
        "acl-many": [logins, ("acl-file", f"config: {{acl_file: {folder}/rules-many}}")],
        "slow": [("http-auth", f"timeout: 30s, config: {{user: {{url: '{backend}/user'}}, timeout: 20s, connections: 1000}}")],
        "http": [("http-auth", f"timeout: 60s, config: {{user: {{url: '{backend}/user'}}, superuser: {{url: "
                  f"'{backend}/superuser'}}, acl: {{url: '{backend}/acl'}}, timeout: 60s, waiting: 1000000, "
                  "cache: {allow: 1h, deny: 1h, entries: 1000000}}")],
    }.get(variant, [])


def noctule_config(variant, folder, port, backend):
    """noctule.yaml of a variant."""
    plugins = noctule_plugins(variant, folder, backend)
    listener = {"tls": f"    tls: {{certificate: {folder}/cert.pem, key: {folder}/key.pem}}\n",
                "websocket": "    transport: websocket\n    path: /mqtt\n"}.get(variant, "")
    decides = any(name in ("acl-file", "http-auth") for name, _ in plugins) and variant != "slow"
    control = f"control: unix:{folder}/control.sock\n" if variant == "workers" else ""
    text = (f"{control}workers: {2 if variant == 'workers' else 1}\nallow_anonymous: {'false' if plugins else 'true'}\n"
            f"default_access: {'deny' if decides else 'allow'}\nlisteners:\n  - name: bench\n"
            f"    bind: 127.0.0.1:{port}\n    plugins: [{', '.join(name for name, _ in plugins)}]\n{listener}")
    if plugins:
        text += "plugins:\n" + "".join(f"  - {{name: {name}, {rest}}}\n" for name, rest in plugins)
    return text + LIMITS


def mosquitto_config(variant, folder, port, backend):
    """mosquitto.conf of the same."""
    listener = {"tls": f"certfile {folder}/cert.pem\nkeyfile {folder}/key.pem\n",
                "websocket": "protocol websockets\n"}.get(variant, "")
    more, anonymous = "", "true"
    if variant == "websocket":
        more = "listener 0 plain.socket\n"  # it does not start with WebSocket alone
    elif variant == "acl":
        more, anonymous = f"acl_file {folder}/rules\npassword_file {folder}/passwords\n", "false"
    elif variant == "passwords":
        more, anonymous = f"password_file {folder}/passwords\n", "false"
    elif variant == "slow":
        more, anonymous = f"plugin {blocking_plugin(folder)}\nplugin_opt_url {backend}/user\n", "false"
    elif variant not in ("plain", "tls", "websocket"):
        raise NotHere
    return MOSQUITTO.format(port=port, listener=listener, anonymous=anonymous, more=more)


def blocking_plugin(folder):
    """Builds the stand-in for mosquitto-go-auth; see blocking-auth/."""
    built = folder / "blocking-auth.so"
    if not built.exists():
        source = ROOT / "tests" / "bench" / "blocking-auth" / "blocking_auth.c"
        done = subprocess.run(["gcc", "-O2", "-fPIC", "-shared", "-o", built, source, "-lcurl"], capture_output=True,
                              text=True)
        if done.returncode != 0:
            raise NotHere
    return built


# ---------------------------------------------------------------------------------------------- processes


class Kind:
    """A broker that can be started in a variant."""

    def __init__(self, name, folder):
        self.name, self.folder = name, folder

    def command(self, variant, scratch, port, backend):
        raise NotImplementedError

    def port(self):
        return free_port()


class Noctule(Kind):
    def command(self, variant, scratch, port, backend):
        config = scratch / "noctule.yaml"
        config.write_text(noctule_config(variant, self.folder, port, backend))
        command = [NOCTULE, "run", "-c", config]
        done = subprocess.run([NOCTULE, "check", "-c", config], capture_output=True, text=True)
        if done.returncode != 0:
            raise NotHere(done.stderr.strip().splitlines()[0] if done.stderr.strip() else "")
        return command


class Mosquitto(Kind):
    EXECUTABLE = "/usr/sbin/mosquitto"

    def command(self, variant, scratch, port, backend):
        config = scratch / "mosquitto.conf"
        config.write_text(mosquitto_config(variant, self.folder, port, backend))
        return [self.EXECUTABLE, "-c", config]


class Other(Kind):
    """NAME=COMMAND,PORT of --against: listens without TLS on PORT, and has what configuration its command says."""

    def __init__(self, text, folder):
        name, _, rest = text.partition("=")
        command, _, port = rest.rpartition(",")
        if not name or not command or not port.isdigit():
            raise SystemExit(f"bench: --against is NAME=COMMAND,PORT, not '{text}'")
        super().__init__(name, folder)
        self.words, self.fixed = shlex.split(command), int(port)

    def port(self):
        return self.fixed

    def command(self, variant, scratch, port, backend):
        if variant != "plain":
            raise NotHere
        return self.words


def allow_descriptors():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextlib.contextmanager
def running(kind, variant, scratch, backend=None):
    """A fresh process of `kind`, pinned; yields (pid, port)."""
    port = kind.port()
    scratch.mkdir(parents=True, exist_ok=True)
    scratch.chmod(0o777)
    command = kind.command(variant, scratch, port, backend)
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise SystemExit(f"bench: something listens on port {port} already")
    log = open(scratch / "log", "wb")
    process = subprocess.Popen(pinned(BROKER_CPU, command), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=scratch,
                               preexec_fn=allow_descriptors)
    try:
        wait_listening(process, port, scratch / "log", kind.name)
        yield process.pid, port
        if process.poll() is not None:
            raise RuntimeError(f"{kind.name} ended by itself with {process.returncode}")
    finally:
        stop(process)
        log.close()


def wait_listening(process, port, log, name):
    deadline = time.monotonic() + 20
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{name} did not start: {log.read_text(errors='replace')[-300:]}")
        time.sleep(0.02)
    time.sleep(0.1)  # until the probe is gone and memory stands still


def stop(process):
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
