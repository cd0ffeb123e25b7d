"""The error tree: each class is a kind of trouble that a person can act on, with its exit code."""

from __future__ import annotations


class HornbookError(Exception):
    """What went wrong, where, and what to do; shown as one line, never as a traceback."""

    exit_code = 1


def first_line(error: BaseException) -> str:
    """The first line of what another library's error says; its kind where it says nothing."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


class ConfigError(HornbookError):
    """A recipe or machine file is wrong: names file, key, value and what is allowed."""

    exit_code = 2


class InputError(HornbookError):
    """Something the user pointed at is missing, unreadable or not what it should be."""

    exit_code = 3


class StoreError(HornbookError):
    """The store cannot be read or written (no space, no permission, in use by another run)."""

    exit_code = 4


class StageError(HornbookError):
    """A stage failed as a whole: too many records failed, or nothing was left to work on."""

    exit_code = 5


class TeacherError(HornbookError):
    """A teacher cannot be started or stopped answering."""

    exit_code = 6


class SandboxError(HornbookError):
    """The sandbox cannot judge on this machine; no verdict is better than a wrong one."""

    exit_code = 7


class BudgetError(HornbookError):
    """The next ask could break a budget; it was not sent."""

    exit_code = 8
