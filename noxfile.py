"""What `python3 -m nox` does: everything that has to hold before a change is kept.

Runs with plain `pip install nox` (virtualenv and pip) and, faster, with `nox[uv]`. Without a name it runs every
session that is not marked `default=False`; `python3 -m nox --list` names them all.
"""

import os
import shutil
import ssl
from pathlib import Path

import nox

ROOT = Path(__file__).parent
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
NODE_PEERS = ["@copilotkit/aimock@1.43.0", "@openai/agents-realtime@0.20.0", "zod@4.6.7", "openai-realtime-api@1.0.8"]
BROWSER_DRIVER = ["playwright-core@1.65.1"]

# What takes real time, or runs whole programs.
SLOW = ["test_examples.py", "test_readme.py", "test_from_go.py", "cli", "faults", "browsers"]
# Where a mistake loses an event, a call or a second of speech: a test for every line and every branch.
WHOLE = ["audio/ledger", "audio/ring", "connection", "lifeline", "outbox", "transport", "reconnect", "vigil"]
WHOLE += ["dispatcher", "lanes", "emitter", "invocation", "streams", "tools/*"]
WHOLE += [f"protocol/{room}" for room in ("core", "exchange", "batches", "requests", "resume", "responses")]
NEAR_DEPENDENCIES = ["events", "protocol", "emitter", "session", "rest", "webhooks", "simulator", "tools"]
# What proves the package's own laws by thousands of schedules: no Python and no dependency makes a difference to it.
LAWS = ["session/test_reconnect_machine.py", "session/test_planted_faults.py", "session/test_soak.py"]
QUICK = [f"--ignore=tests/{name}" for name in (*SLOW, *LAWS[:2])]

PROJECT = nox.project.load_toml("pyproject.toml")

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
# A Python that the machine lacks is skipped with a notice, in CI too, and never downloaded.
nox.options.error_on_missing_interpreters = False
nox.options.download_python = "never"


def release(python: Path) -> list[int]:
    """Gives 3.12.1 of `<root>/versions/3.12.1/bin/python3.12` as numbers that compare."""
    return [int(part) for part in python.parts[-3].split(".") if part.isdigit()]


def offer_pyenv_pythons() -> None:
    """Puts pyenv's real interpreters in front of PATH.

    Its shims are found for every minor version but exit with 127 unless that version is active.
    """
    shims = [Path(entry).parent for entry in os.environ["PATH"].split(os.pathsep) if Path(entry).name == "shims"]
    roots = [Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")), *shims]
    for minor in PYTHONS:
        built = [python for root in roots for python in root.glob(f"versions/{minor}.*/bin/python{minor}")]
        if built:
            os.environ["PATH"] = os.pathsep.join([str(max(built, key=release).parent), os.environ["PATH"]])


offer_pyenv_pythons()


def group(*names: str) -> list[str]:
    """Reads dependency groups, which the pip of an older Python cannot install by name."""
    return nox.project.dependency_groups(PROJECT, *names)


def floors(*extras: str) -> list[str]:
    """Pins every runtime dependency, and those of some extras, to the lowest release it admits."""
    optional = PROJECT["project"]["optional-dependencies"]
    wanted = [*PROJECT["project"]["dependencies"], *(dependency for extra in extras for dependency in optional[extra])]
    return [dependency.replace(">=", "==", 1) for dependency in wanted]


@nox.session
def lint(session: nox.Session) -> None:
    """Checks style, docstrings and spelling."""
    session.install(*group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("codespell")


@nox.session
def types(session: nox.Session) -> None:
    """Checks the package, user code and the examples with mypy and pyright, both strict."""
    session.install("-e", ".[cli]", *group("types"))
    session.run("mypy")
    session.run("pyright", "--pythonpath", f"{session.bin}/python")
    session.run("pytest", "tests/typing")


@nox.session
def imports(session: nox.Session) -> None:
    """Checks that no module imports from a floor above its own."""
    session.install("-e", ".", *group("imports"))
    session.run("lint-imports", "--no-cache")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Runs the suite with today's dependencies; what is slow runs in the oldest Python, which everybody has."""
    session.install("-e", ".[cli]", *group("test"))
    session.run("pytest", *([] if session.python == PYTHONS[0] else QUICK), *session.posargs)


@nox.session(python=PYTHONS[:1] + PYTHONS[2:3])
def lowest(session: nox.Session) -> None:
    """Runs what meets the dependencies with the lowest of them that pyproject.toml admits."""
    session.install("-e", ".[cli]", *floors("cli"), *group("test"))
    near = [*(f"tests/{name}" for name in NEAR_DEPENDENCIES), *(f"--ignore=tests/{name}" for name in LAWS)]
    session.run("pytest", *near, *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Builds the site; a broken link or an unknown name in a reference page is an error."""
    session.install(*group("docs"))
    session.run(
        "mkdocs", "build", "--strict", "--site-dir", f"{session.create_tmp()}/site", env={"NO_MKDOCS_2_WARNING": "1"}
    )


@nox.session
def build(session: nox.Session) -> None:
    """Builds the source archive, and the wheel from it, into `dist/`."""
    session.install(*group("build"))
    shutil.rmtree("dist", ignore_errors=True)
    session.run("python", "-m", "build", "--no-isolation")


@nox.session(requires=["build"], reuse_venv=False)
def wheel(session: nox.Session) -> None:
    """Installs the built wheel into a clean environment, runs the demo and the examples from it."""
    (built,) = (ROOT / "dist").glob("*.whl")
    session.install(str(built))
    session.chdir(session.create_tmp())
    session.run("realtime-events", "demo")
    session.run("python", "-m", "realtime_events", "demo", "--json")
    session.install(f"{ROOT}/examples/07_plugins")
    # Without its folder on the path (-P), the bot finds the plugin only where it was installed.
    named = "from realtime_events.plugin import installed_plugins; assert 'weather' in installed_plugins()"
    session.run("python", "-P", "-c", named)
    offline = {"OPENAI_API_KEY": None, "OPENAI_REALTIME_URL": None}
    session.run("python", "-P", f"{ROOT}/examples/07_plugins/main.py", env=offline)
    session.install(*group("test"))
    session.run("pytest", *(f"{ROOT}/tests/test_{name}.py" for name in ("house", "examples")))


@nox.session
def interop(session: nox.Session) -> None:
    """Talks to servers, and listens to clients, that nobody here wrote; all on loopback."""
    session.install("-e", ".", *group("test", "peers"))
    session.run("pytest", "tests/interop", *session.posargs, env=node_peers(session))


@nox.session(default=False)
def browser(session: nox.Session) -> None:
    """Talks with the page of examples/15_browser in headless Chromium, which the machine has to have."""
    if shutil.which("chromium") is None and shutil.which("google-chrome") is None:
        session.warn("Chromium is not installed (apt-get install chromium): the test with a browser is skipped")
    session.install("-e", ".", *group("test"))
    session.run("pytest", "tests/browsers", *session.posargs, env=node_peers(session, BROWSER_DRIVER))


def node_peers(session: nox.Session, packages: list[str] = NODE_PEERS) -> dict[str, str]:
    """Installs packages from npm beside the session and says where they are; without npm their tests are skipped."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        session.warn("npm is not installed: the tests with peers from npm are skipped")
        return {}
    folder = Path(session.create_tmp()).resolve()
    trusted = ssl.get_default_verify_paths().cafile
    try:
        session.run(
            *("npm", "install", "--no-audit", "--no-fund", "--no-save", "--prefix", str(folder), *packages),
            external=True,
            # Node trusts its own list of authorities; behind a company's proxy the machine's list is needed as well.
            env={"NODE_EXTRA_CA_CERTS": os.environ.get("NODE_EXTRA_CA_CERTS", trusted)},
        )
    except nox.command.CommandFailed:
        session.warn("npm could not install the peers, and said why above: the tests with them are skipped")
        return {}
    modules = folder / "node_modules"
    return {
        "REALTIME_EVENTS_NODE_MODULES": str(modules),
        "REALTIME_EVENTS_AIMOCK": str(modules / "@copilotkit" / "aimock" / "dist" / "cli.js"),
    }


@nox.session(default=False)
def local(session: nox.Session) -> None:
    """Tests the simulator's real ears and voice, about 300 MB of wheels; a test whose wheel is missing is skipped."""
    session.install("-e", ".[local]", *group("test"))
    session.run("pytest", "tests/simulator/test_local.py", "tests/test_readme.py", "-k", "local", *session.posargs)


@nox.session(python="3.13", default=False)
def coverage(session: nox.Session) -> None:
    """Measures which lines and branches the suite reaches; fails where one of the `WHOLE` rooms has one unreached."""
    session.install("-e", ".[cli]", *group("coverage"))
    session.run("coverage", "erase")
    # What is measured there counts the memory of the measuring, too.
    session.run("coverage", "run", "-m", "pytest", "--ignore=tests/protocol/test_memory.py", *session.posargs)
    session.run("coverage", "combine")
    session.run("coverage", "report")
    rooms = ",".join(f"*/realtime_events/{room}.py" for room in WHOLE)
    session.run("coverage", "report", "--fail-under=100", f"--include={rooms}")


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Compares CPU and memory with the floor and with other clients; writes a table and a JSON file."""
    session.install("-e", ".", *group("bench"))
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session(python="3.13", default=False)
def faults(session: nox.Session) -> None:
    """Runs the same faults against this package and its peers; writes a table and a JSON file."""
    session.install("-e", ".", *group("faults"))
    session.run("python", "-m", "benchmarks.faults", *session.posargs)


@nox.session(default=False)
def sbom(session: nox.Session) -> None:
    """Writes `dist/sbom.json`: what a plain install brings, as CycloneDX 1.6."""
    session.install(*group("sbom"))
    plain = Path(session.create_tmp()).resolve() / "plain"
    shutil.rmtree(plain, ignore_errors=True)
    session.run("python", "-m", "venv", "--without-pip", str(plain))
    session.run("python", "-m", "pip", "--python", str(plain), "install", "--quiet", ".")
    (ROOT / "dist").mkdir(exist_ok=True)
    session.run(
        *("cyclonedx-py", "environment", str(plain), "--pyproject", "pyproject.toml"),
        *("--spec-version", "1.6", "--output-reproducible", "--output-file", "dist/sbom.json"),
    )


@nox.session(python="3.13", default=False)
def fuzz(session: nox.Session) -> None:
    """Feeds every target of `fuzz/` for half a minute each; `-- frame -max_total_time=600` feeds one for longer."""
    session.install("-e", ".", *group("test", "fuzz"))
    if session.posargs:
        session.run("python", "-m", "fuzz", *session.posargs)
        return
    for target in ("frame", "path", "taped", "arguments", "webhook", "tape", "conversation"):
        session.run("python", "-m", "fuzz", target, "-max_total_time=30", "-verbosity=0")


@nox.session(default=False)
def soak(session: nox.Session) -> None:
    """Keeps a hundred sessions alive for minutes over a network that breaks, and counts on both sides."""
    session.install("-e", ".")
    session.run("python", "-m", "benchmarks.soak", *session.posargs)


@nox.session(default=False)
def nightly(session: nox.Session) -> None:
    """Runs the suite with its long tests and with many more generated inputs."""
    session.install("-e", ".[cli]", *group("test"))
    session.run("pytest", "-m", "", "--timeout", "3600", "--hypothesis-profile", "nightly", *session.posargs)
