"""Engines are found by URL, then on PATH, then in the wheels; what is missing is named with its remedy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from deploy.local.console.doctor import examine
from deploy.local.engines import artifacts, kafka, mongodb, redis
from deploy.local.engines.engine import Origin
from deploy.local.engines.executables import missing_libraries
from deploy.local.problem import Problem

NOTHING = {"PATH": ""}


def script(folder: Path, name: str, says: str, *, code: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\necho '{says}'\nexit {code}\n")
    file.chmod(0o755)
    return file


def on_path(folder: Path) -> dict[str, str]:
    return {"PATH": f"{folder}:/usr/bin:/bin"}


@pytest.fixture
def no_wheels(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(_package: str, _relative: str) -> None:
        return None

    for module in (mongodb, redis, kafka):
        monkeypatch.setattr(module, "in_wheel", nothing)


def test_a_url_comes_before_path_and_wheels(tmp_path: Path) -> None:
    script(tmp_path, "mongod", "db version v7.0.1")
    found = mongodb.find({**on_path(tmp_path), "CLARION_MONGO_URL": "mongodb://elsewhere/"})
    assert (found.origin, found.address) == (Origin.URL, "mongodb://elsewhere/")
    cache = redis.find({**NOTHING, "CLARION_REDIS_URL": "redis://elsewhere/3"})
    assert (cache.origin, cache.address) == (Origin.URL, "redis://elsewhere/3")
    broker = kafka.find({**NOTHING, "CLARION_KAFKA_BOOTSTRAP": "elsewhere:9092"}, cache=tmp_path)
    assert (broker.origin, broker.address) == (Origin.URL, "elsewhere:9092")


def test_path_comes_before_wheels(tmp_path: Path) -> None:
    mongod = script(tmp_path, "mongod", "db version v7.0.1")
    server = script(tmp_path, "redis-server", "Redis server v=7.2.4 sha=0")
    found, cache = mongodb.find(on_path(tmp_path)), redis.find(on_path(tmp_path))
    assert (found.origin, found.executable, found.description) == (Origin.PATH, mongod, "MongoDB 7.0.1")
    assert (cache.origin, cache.executable, cache.description) == (Origin.PATH, server, "Redis 7.2.4")


def test_wheels_come_last() -> None:
    assert mongodb.find(NOTHING).origin is Origin.WHEEL
    assert redis.find(NOTHING).origin is Origin.WHEEL


def test_without_java_and_maven_kafka_is_an_emulator_and_says_so(tmp_path: Path) -> None:
    found = kafka.find(NOTHING, cache=tmp_path)
    assert found.origin is Origin.WHEEL
    assert found.jars is None
    assert "an emulator and not Apache Kafka, because PATH has no java and mvn" in found.description


def test_with_an_old_java_kafka_is_an_emulator_and_says_so(tmp_path: Path) -> None:
    script(tmp_path, "java", 'openjdk version "11.0.2" 2019-01-15')
    script(tmp_path, "mvn", "")
    found = kafka.find(on_path(tmp_path), cache=tmp_path / "cache")
    assert "because Java 11.0.2 is too old" in found.description


def test_when_maven_fails_kafka_is_an_emulator_and_nothing_half_done_is_left(tmp_path: Path) -> None:
    script(tmp_path, "java", 'openjdk version "17.0.2" 2022-01-18')
    script(tmp_path, "mvn", "[ERROR] no route to the repository", code=1)
    found = kafka.find(on_path(tmp_path), cache=tmp_path / "cache")
    assert "no route to the repository" in found.description
    assert list((tmp_path / "cache").iterdir()) == []


def test_artifacts_are_fetched_once(tmp_path: Path) -> None:
    maven = script(tmp_path, "mvn", "")
    maven.write_text(
        '#!/bin/sh\nfor a in "$@"; do case $a in -DoutputDirectory=*) d=${a#*=};; esac; done\n'
        f'mkdir -p "$d" && touch "$d/kafka_2.13-4.1.0.jar" && echo fetched >> {tmp_path}/count\n'
    )
    first = artifacts.jars(tmp_path / "cache", maven=maven)
    assert artifacts.jars(tmp_path / "cache", maven=maven) == first
    assert (tmp_path / "count").read_text() == "fetched\n"
    assert [entry.name for entry in (tmp_path / "cache").iterdir()] == [first.name]


def test_an_engine_that_is_too_old_is_named_with_its_remedy(tmp_path: Path) -> None:
    script(tmp_path, "mongod", "db version v4.4.1")
    with pytest.raises(Problem, match=r"mongod 4\.4\.1 at .* is too old: install 5\.0 or newer"):
        mongodb.find(on_path(tmp_path))


def test_a_mongod_that_lacks_a_library_is_named_with_the_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(tmp_path, "mongod", "")
    ldd = script(tmp_path / "tools", "ldd", "\tlibcurl.so.4 => not found")
    monkeypatch.setenv("PATH", str(ldd.parent))
    with pytest.raises(Problem, match=r"shared libraries that are not here \(libcurl\.so\.4\)"):
        mongodb.find({"PATH": str(tmp_path)})


def test_a_whole_executable_lacks_nothing() -> None:
    shell = shutil.which("sh")
    assert shell is not None

    assert missing_libraries(Path(shell)) == []


@pytest.mark.usefixtures("no_wheels")
def test_the_doctor_names_everything_that_is_missing_with_its_remedy(tmp_path: Path) -> None:
    findings = {each.name: each for each in examine(NOTHING, home=tmp_path, cache=tmp_path)}
    for name, variable in (
        ("mongodb", "CLARION_MONGO_URL"),
        ("redis", "CLARION_REDIS_URL"),
        ("kafka", "CLARION_KAFKA_BOOTSTRAP"),
    ):
        assert not findings[name].is_well
        assert variable in findings[name].remedy
    assert findings["python"].is_well
    assert findings["data"].is_well


def test_the_doctor_names_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    home = tmp_path / "file" / "stacks"
    findings = {each.name: each for each in examine(NOTHING, home=home, cache=tmp_path)}
    assert f"{home} cannot be written" in findings["data"].found
    assert "--data" in findings["data"].remedy
