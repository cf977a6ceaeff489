"""Apache Kafka's jars: resolved once by Maven into a cache folder.

Resolving is atomic: Maven fills a folder beside the cache, which is then renamed, under a lock, so
that several processes may ask at once and a killed one leaves nothing half done.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from app.domain.errors import ConfigurationError

_JAVA_FLOOR = 17
_TIMEOUT_S = 600
_PACKAGE = Path(__file__).resolve().parents[2]
_CHECKOUT = _PACKAGE.parent
# In a checkout a link to deploy/kafka/pom.xml; the wheel has the file itself.
_POM = Path(__file__).resolve().parent / "kafka-pom.xml"
_HOW_TO_INSTALL = (
    "Install a Java runtime of version 17 or later and Maven (Debian, as root: apt-get install"
    " openjdk-17-jre-headless maven), or name a Kafka that runs already with --kafka."
)


def find_java() -> str:
    """Return the Java runtime on the PATH.

    Raises:
        ConfigurationError: If there is none, or it is too old for Kafka 4.
    """
    java = shutil.which("java")
    if java is None:
        raise ConfigurationError(f"There is no java on the PATH. {_HOW_TO_INSTALL}")
    told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', told)
    if found is None or int(found[1]) < _JAVA_FLOOR:
        raise ConfigurationError(f"{java} is too old for Kafka 4: {told!r}. {_HOW_TO_INSTALL}")
    return java


def kafka_jars() -> Path:
    """Return the folder of Kafka's jars; asks Maven for them if this is the first time.

    Raises:
        ConfigurationError: If there is no Maven, or it cannot get them; says what it wrote.
    """
    folder = _cache_folder()
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(folder.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _resolve(folder)
    return folder


def _cache_folder() -> Path:
    """Name the folder after what is in it, so that a changed pom is resolved anew."""
    text = _POM.read_text(encoding="utf-8")
    version = re.search(r"<version>(\d+\.\d+\.\d+)</version>", text)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    name = f"kafka-{version[1] if version else 'unknown'}-{digest}"
    if (_CHECKOUT / "deploy" / "kafka" / "pom.xml").is_file():
        return _CHECKOUT / ".cache" / name
    return Path.home() / ".cache" / "segmentation" / name


def _resolve(folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise ConfigurationError(f"There is no mvn on the PATH. {_HOW_TO_INSTALL}")
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="resolving-") as temporary:
        jars = Path(temporary) / "jars"
        command = [
            maven,
            "--quiet",
            "--batch-mode",
            "--strict-checksums",
            f"--file={_POM.resolve()}",
            "dependency:copy-dependencies",
            "-DincludeScope=runtime",
            f"-DoutputDirectory={jars}",
        ]
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
        if result.returncode or not any(jars.glob("kafka_*.jar")):
            raise ConfigurationError(
                f"Maven could not get Apache Kafka (status {result.returncode}):"
                f"\n{(result.stdout + result.stderr).strip()[-2_000:]}"
            )
        jars.rename(folder)
