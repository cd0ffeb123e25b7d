"""Teachers: one async method, `answer(ask) -> Answer | Failed`; a table says where each kind answers from."""

from hornbook.teachers.answering import TEACHERS, FailureCap, answer_all, open_teacher
from hornbook.teachers.ask import Answer, Ask, Failed, Teacher
from hornbook.teachers.cached import Cached
from hornbook.teachers.canned import Canned
from hornbook.teachers.prompt import Prompt, load_prompt

__all__ = [
    "TEACHERS",
    "Answer",
    "Ask",
    "Cached",
    "Canned",
    "Failed",
    "FailureCap",
    "Prompt",
    "Teacher",
    "answer_all",
    "load_prompt",
    "open_teacher",
]
