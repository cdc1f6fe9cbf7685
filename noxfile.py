"""`make matrix`: the oldest and the newest supported Python, each with the newest Django for it.

The lock file pins Django by Python version: 5.2 for Python 3.11, the newest release from 3.12 on.
"""

import os
from pathlib import Path

import nox

PYTHONS = ("3.11", "3.13")
#: The tests that need neither PostgreSQL, RabbitMQ, a browser nor a started console.
MARKS = "not stack and not browser and not rabbitmq and not postgres"
PYENV = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()

nox.needs_version = ">=2026.10"
nox.options.default_venv_backend = "virtualenv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False  # skipped, with the reason
nox.options.reuse_venv = "yes"


def interpreter(version: str) -> str:
    """Prefer pyenv's interpreters: its shims on the PATH fail unless a version is selected."""
    installed = sorted(PYENV.glob(f"versions/{version}.*/bin/python"))
    return str(installed[-1]) if installed else version


def run_tests(session: nox.Session) -> None:
    session.install(
        "--quiet", "--require-hashes", "--only-binary", ":all:", "-r", "requirements/dev.txt"
    )
    session.run("python", "-m", "django", "--version")
    session.run("python", "-m", "pytest", "-m", MARKS, *session.posargs)


for version in PYTHONS:
    if version == os.environ.get("MATRIX_EXCEPT"):
        continue
    nox.session(run_tests, name=f"tests-{version}", python=interpreter(version))
