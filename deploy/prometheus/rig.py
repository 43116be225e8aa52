"""A private Postgres, real workers and a real Prometheus, for `check` and `record`.

Everything is a direct child of this process, listens on loopback or a socket alone, and ends with it, however it ends.
"""

import asyncio
import contextlib
import ctypes
import glob
import http.server
import json
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent

# A design without errors.
DESIGN = ROOT / "worker" / "tests" / "design" / "rules" / "valid.yaml"

# How long anything may take to start.
START_SECONDS = 60

# The role that workers log in as: no more rights than `longshore migrate --grant` gives.
WORKER = "worker_login"


class Missing(Exception):
    """A program that is not there."""


def program(name):
    found = shutil.which(name)
    if not found:
        raise Missing(f"{name} is not installed (Debian: apt install prometheus)")
    return found


def longshore():
    """The binary: LONGSHORE_BIN, else the newest build."""
    named = os.environ.get("LONGSHORE_BIN")
    built = [ROOT / "target" / profile / "longshore" for profile in ("release", "debug")]
    found = [named] if named else sorted((path for path in built if path.exists()), key=lambda path: -path.stat().st_mtime)
    if not found:
        raise Missing("no longshore binary: cargo build, or LONGSHORE_BIN=FILE")
    return str(found[0])


def postgres_bin():
    """The folder of the newest server's programs."""
    folders = [os.path.dirname(path) for path in glob.glob("/usr/lib/postgresql/*/bin/initdb")]
    found = shutil.which("pg_config")
    if found:
        folders.append(subprocess.check_output([found, "--bindir"], text=True).strip())
    folders = [folder for folder in folders if os.path.exists(f"{folder}/postgres") and os.path.exists(f"{folder}/psql")]
    if not folders:
        raise Missing("no Postgres server with psql (Debian: apt install postgresql)")
    return max(folders, key=lambda folder: [int(part) for part in folder.split("/") if part.isdigit()])


def dies_with_us(with_signal):
    """For a child, just before it becomes the program: it gets this signal when we end."""

    def prepare():
        os.setpgid(0, 0)
        ctypes.CDLL(None).prctl(1, int(with_signal))  # PR_SET_PDEATHSIG

    return prepare


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def until(what, condition, seconds=START_SECONDS, every=0.1):
    """Looks until the condition is true, and returns it."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s until {what}")
        await asyncio.sleep(every)


class Rig:
    """The folder, and all that was started; leave it by `close`."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="longshore-rig-"))
        self.folder.chmod(0o755)
        self.children = []

    def start(self, name, argv, die=signal.SIGKILL, env=None, **options):
        log = open(self.folder / f"{name}.log", "ab")
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=dies_with_us(die),
            env={**os.environ, "NO_COLOR": "1", **(env or {})}, **options)
        log.close()
        self.children.append(child)
        return child

    def close(self):
        """Ends what still runs, the last first, and removes the folder."""
        for child in reversed(self.children):
            if child.poll() is None:
                child.send_signal(signal.SIGCONT)
                # Postgres's fast shutdown; nothing else here has anything to save
                child.send_signal(signal.SIGINT if getattr(child, "is_postgres", False) else signal.SIGKILL)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(10)
            if child.poll() is None:
                child.kill()
                child.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def live(story):
    """Runs a coroutine function with a rig; the rig is closed also when we are told to end."""

    async def told():
        rig = Rig()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, asyncio.current_task().cancel)
        try:
            return await story(rig)
        finally:
            rig.close()

    try:
        return asyncio.run(told())
    except asyncio.CancelledError:
        raise SystemExit("interrupted") from None


class Postgres:
    """A private cluster, and SQL on it as its superuser."""

    def __init__(self, rig, name):
        self.rig, self.name, self.bin = rig, name, postgres_bin()
        # roles are the server's: one at a time
        self.installing = asyncio.Lock()
        self.folder = rig.folder / name
        self.folder.mkdir()
        self.as_user = {}
        if os.getuid() == 0:
            # the server refuses to run as root
            account = next(pwd.getpwnam(user) for user in ("postgres", "nobody") if user in {u.pw_name for u in pwd.getpwall()})
            os.chown(self.folder, account.pw_uid, account.pw_gid)
            self.as_user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": [], "cwd": self.folder}
        subprocess.run(
            [f"{self.bin}/initdb", "-D", self.folder / "data", "-A", "trust", "-U", "owner", "-E", "UTF8", "--locale=C",
             "--no-instructions"], check=True, stdout=subprocess.DEVNULL, **self.as_user)

    async def start(self):
        self.child = self.rig.start(
            self.name,
            [f"{self.bin}/postgres", "-D", self.folder / "data", "-k", self.folder, "-c", "listen_addresses=",
             "-c", "max_connections=600", "-c", "max_wal_size=4GB"],
            die=signal.SIGQUIT, **self.as_user)
        self.child.is_postgres = True

        async def answers():
            return (await self.psql("postgres", "SELECT 1", check=False)) == "1"

        await until(f"{self.name} answers", answers)

    def kill(self):
        """SIGKILL; its backends notice by themselves."""
        self.child.kill()
        self.child.wait()

    async def psql(self, database, sql, check=True):
        """Runs SQL; what it prints, unaligned."""
        run = await asyncio.create_subprocess_exec(
            f"{self.bin}/psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", str(self.folder), "-U", "owner", "-d", database,
            "-f", "-", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            preexec_fn=dies_with_us(signal.SIGKILL))
        out, err = await run.communicate(sql.encode())
        if run.returncode and check:
            raise RuntimeError(f"{self.name}/{database}: {err.decode().strip()}\n{sql}")
        return out.decode().strip()

    def url(self, database, user):
        return f"postgres://{user}@localhost/{database}?host={urllib.parse.quote(str(self.folder))}"

    async def installation(self, database):
        """A migrated database with the roles; the first also makes the workers' login."""
        async with self.installing:
            await self.psql("postgres", f"CREATE DATABASE {database}")
            migrate = self.rig.start(
                f"{database}-migrate", [longshore(), "migrate", "--grant"], env={"DATABASE_URL": self.url(database, "owner")},
                cwd=self.rig.folder)
            await until(f"{database} is migrated", lambda: migrate.poll() is not None)
            if migrate.returncode:
                raise RuntimeError(f"{database}: {(self.rig.folder / f'{database}-migrate.log').read_text()}")
            await self.psql(database, f"DO $$ BEGIN CREATE ROLE {WORKER} LOGIN IN ROLE longshore_worker;"
                            " EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;")


class Worker:
    """A process `longshore worker`, known to Prometheus by the rig's name of its job and its own."""

    def __init__(self, job, name, postgres, database, toml):
        self.job, self.name, self.postgres, self.database, self.toml = job, name, postgres, database, toml
        self.rig, self.address, self.child = postgres.rig, None, None

    async def start(self):
        folder = self.rig.folder / self.database
        folder.mkdir(exist_ok=True)
        config = folder / f"{self.name}.toml"
        config.write_text(f'[http]\nlisten = "127.0.0.1:0"\n[worker]\nname = "{self.name}"\n{self.toml}')
        log = f"{self.database}-{self.name}-{time.monotonic_ns()}"
        self.child = self.rig.start(
            log, [longshore(), "worker", "--config", config], env={"DATABASE_URL": self.postgres.url(self.database, WORKER)},
            cwd=folder)
        path = self.rig.folder / f"{log}.log"

        def address():
            if self.child.poll() is not None:
                raise RuntimeError(f"{log} ended: {path.read_text()[-2000:]}")
            text = path.read_text()
            return "http://" in text and text.split("http://")[1].split("/")[0]

        self.address = await until(f"{log} works", address)

    def signal(self, number):
        self.child.send_signal(number)

    def kill(self):
        self.child.kill()
        self.child.wait()

    async def end(self):
        self.child.terminate()
        await until(f"{self.name} ends", lambda: self.child.poll() is not None)


def serve_designs():
    """A folder of designs on a server of ours, each name another content; its thread ends with us."""

    class Design(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/yaml")
            self.end_headers()
            self.wfile.write(DESIGN.read_bytes() + f"# {self.path}\n".encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Design)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


class Prometheus:
    """A real one, with our rules, that scrapes what the file `targets` names."""

    def __init__(self, rig, interval):
        self.rig, self.interval = rig, interval
        self.targets = rig.folder / "targets.json"
        self.targets.write_text("[]")

    async def start(self):
        config = self.rig.folder / "prometheus.json"
        # JSON is YAML
        config.write_text(json.dumps({
            "global": {"scrape_interval": self.interval, "scrape_timeout": self.interval, "evaluation_interval": self.interval},
            "rule_files": [str(HERE / "rules.yml")],
            "scrape_configs": [{"job_name": "longshore", "file_sd_configs": [{"files": [str(self.targets)]}]}],
        }))
        self.base = f"http://127.0.0.1:{free_port()}"
        self.child = self.rig.start("prometheus", [
            program("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={self.rig.folder / 'tsdb'}",
            f"--web.listen-address={self.base.removeprefix('http://')}", "--log.level=warn"])
        await until("Prometheus answers", self.is_ready)

    def is_ready(self):
        try:
            return urllib.request.urlopen(f"{self.base}/-/ready", timeout=5).status == 200
        except OSError:
            return False

    def get(self, path, **parameters):
        url = f"{self.base}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{parameters.get('query', path)}: {json.load(error)['error']}") from None

    def query(self, expr, at=None):
        return self.get("query", query=expr, **({"time": at} if at else {}))["result"]

    def value(self, expr):
        """The one number that an expression is; None where there is none."""
        result = self.query(expr)
        return float(result[0]["value"][1]) if result else None

    def range(self, expr, start, end, step):
        return self.get("query_range", query=expr, start=start, end=end, step=step)["result"]


class Fleet:
    """The workers that Prometheus scrapes, each under its job and its name."""

    def __init__(self, prometheus):
        self.targets, self.workers = prometheus.targets, []

    async def start(self, worker):
        """Starts a worker, or again one that has ended; Prometheus finds it at its new address."""
        await worker.start()
        if worker not in self.workers:
            self.workers.append(worker)
        self.tell()

    def remove(self, worker):
        self.workers.remove(worker)
        self.tell()

    def tell(self):
        listed = [{"targets": [worker.address], "labels": {"job": worker.job, "instance": worker.name}} for worker in self.workers]
        part = self.targets.with_suffix(".part")
        part.write_text(json.dumps(listed))
        # in one step: Prometheus reads none or all of it
        part.rename(self.targets)
