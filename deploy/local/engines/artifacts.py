"""Apache Kafka's jars, fetched once by Maven into a folder that is complete or not there."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from deploy.local.problem import Problem

POM = Path(__file__).with_name("pom.xml")
_FETCH_SECONDS = 180


def jars(cache: Path, *, maven: Path) -> Path:
    """Give the folder of Kafka's jars, fetching them where it is not there yet. Raises Problem.

    The folder's name carries the pom's digest, so a new version is a new folder. It is filled beside its
    place and moved there in one step, so that two that fetch at once, or one that was killed, leave nothing
    half done.
    """
    digest = hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
    folder = cache / f"kafka-{digest}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix="kafka-", dir=cache))
    try:
        _fetch(maven, staging)
        try:
            (staging / "lib").rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return folder


def _fetch(maven: Path, staging: Path) -> None:
    argv = [
        str(maven),
        *("-q", "-B", "-f", str(POM), "dependency:copy-dependencies"),
        f"-DoutputDirectory={staging / 'lib'}",
    ]
    try:
        answer = subprocess.run(  # noqa: S603 - Maven, located on PATH
            argv, cwd=staging, capture_output=True, text=True, timeout=_FETCH_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise Problem("Maven did not fetch Kafka's artifacts in time", remedy="see `mvn -v`") from exc
    if answer.returncode != 0 or not any((staging / "lib").glob("kafka_*.jar")):
        said = next((line for line in answer.stdout.splitlines() if "ERROR" in line), "no reason given")
        raise Problem(f"Maven did not fetch Kafka's artifacts ({said[:200]})", remedy="see `mvn -v`")
