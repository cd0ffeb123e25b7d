"""Teachers: one async method, `answer(ask) -> Answer | Failed`; a table says where each kind answers from."""

from hornbook.teachers.answering import FailureCap, answer_all
from hornbook.teachers.answers import Answers
from hornbook.teachers.ask import Answer, Ask, Failed, Teacher
from hornbook.teachers.budget import Account
from hornbook.teachers.cached import Cached
from hornbook.teachers.canned import Canned
from hornbook.teachers.forecast import Forecast
from hornbook.teachers.opening import TEACHERS, Errand, open_teacher
from hornbook.teachers.prompt import Prompt, load_prompt
from hornbook.teachers.repair import Parsed, Reasking, ask_parsed, parse_json_answer, read_json

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
