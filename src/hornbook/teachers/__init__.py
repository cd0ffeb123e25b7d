"""Teachers: one async method, `answer(ask) -> Answer | Failed`; a table says where each kind answers from."""

from hornbook.teachers.budget import Account, Forecast, Part
from hornbook.teachers.cache import Answers, Cached
from hornbook.teachers.canned import Canned
from hornbook.teachers.open import TEACHERS, Errand, open_teacher
from hornbook.teachers.parsing import Parsed, Reasking, ask_parsed, parse_json_answer, read_json
from hornbook.teachers.pool import FailureCap, answer_all
from hornbook.teachers.prompt import Prompt, load_prompt
from hornbook.teachers.request import Answer, Ask, Failed, Teacher

__all__ = [
    "TEACHERS",
    "Account",
    "Answer",
    "Answers",
    "Ask",
    "Cached",
    "Canned",
    "Errand",
    "Failed",
    "FailureCap",
    "Forecast",
    "Parsed",
    "Part",
    "Prompt",
    "Reasking",
    "Teacher",
    "answer_all",
    "ask_parsed",
    "load_prompt",
    "open_teacher",
    "parse_json_answer",
    "read_json",
]
