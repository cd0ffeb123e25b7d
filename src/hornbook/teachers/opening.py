"""Opening the teacher that a recipe names: a table says how each kind is reached."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from hornbook.core.config import CannedPlace, EndpointPlace, LocalPlace, Prices, TeacherPlace
from hornbook.core.errors import TeacherError
from hornbook.core.progress import Progress
from hornbook.teachers import embedded
from hornbook.teachers.answers import Answers
from hornbook.teachers.ask import Teacher
from hornbook.teachers.batch import BatchEndpoint
from hornbook.teachers.budget import Account, Ledger, Metered
from hornbook.teachers.cached import Cached
from hornbook.teachers.calls import Server
from hornbook.teachers.canned import Canned
from hornbook.teachers.endpoint import Endpoint
from hornbook.teachers.local import LocalModel, file_revision

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
        return embedded.embedded_file(opening.models, opening.progress)

    return Metered(LocalModel(opening.model, revision, find, place.concurrency), opening.ledger())


def _local_revision(model: str, place: TeacherPlace) -> str:
    assert isinstance(place, LocalPlace)
    if place.path:
        return file_revision(Path(place.path).expanduser())
    if model != embedded.MODEL:
        raise TeacherError(
            f"nothing says where the teacher {model!r} answers; set "
            f'[teachers."{model}"] path = "<a GGUF file>" or url = "<an OpenAI-compatible server>" in the machine '
            f"file, or name {embedded.MODEL!r} in the recipe"
        )
    return embedded.WHEEL_SHA256


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
    opening = Opening(model, place, cache, progress, models or embedded.model_folder(), errand)
    teacher = TEACHERS[place.kind].open(opening)
    cached = Cached(teacher, Answers(cache / ANSWERS), errand.step)
    try:
        yield cached
    finally:
        cached.close()
