"""What a document is about, by the simplest rule that can be stated: what it imports, or how it is tagged."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

_IMPORTED = re.compile(r"^[ \t>]*(?:from|import)[ \t]+([A-Za-z_]\w*)", re.MULTILINE)

NOTHING, OTHER = "no imports", "other imports"

TOPICS: dict[str, frozenset[str]] = {
    name: frozenset(modules.split())
    for name, modules in {
        "machine learning": "torch tensorflow keras jax flax sklearn transformers xgboost lightgbm nltk spacy",
        "numbers and data": "numpy pandas scipy sympy statistics polars pyarrow xarray dask networkx statsmodels numba",
        "graphics and interfaces": "tkinter matplotlib seaborn plotly pil pyqt5 pyqt6 pyside2 pyside6 pygame turtle "
        "curses cv2 kivy wx",
        "web and network": "flask django requests urllib http socket ssl aiohttp httpx fastapi starlette html tornado "
        "twisted bs4 scrapy email smtplib ftplib selenium werkzeug jinja2",
        "databases": "sqlite3 sqlalchemy psycopg2 pymongo redis mysql dbm peewee duckdb sql",
        "testing": "unittest pytest hypothesis doctest mock nose",
        "concurrency": "threading multiprocessing concurrent asyncio queue trio anyio select signal",
        "language and tools": "ast tokenize dis inspect types importlib ctypes gc sys typing_extensions setuptools "
        "distutils pip pkg_resources pkgutil builtins",
        "files and system": "os pathlib shutil subprocess glob tempfile argparse logging configparser zipfile tarfile "
        "platform getpass click",
        "text and formats": "re string json csv xml yaml toml tomllib textwrap unicodedata struct codecs difflib "
        "pickle base64 lxml regex",
        "dates and times": "datetime time calendar zoneinfo dateutil pytz",
        "algorithms": "math collections itertools functools heapq bisect random operator decimal fractions cmath "
        "array hashlib copy recursion algorithm list dictionary sorting loops",
    }.items()
}
"""Topic -> the top-level modules (and Stack Exchange tags) that speak for it, in lower case."""
_TOPIC_OF = {module: topic for topic, modules in TOPICS.items() for module in modules}


def topic(text: str, tags: Iterable[str] = ()) -> str:
    """The topic that most of the imported modules and tags speak for; of equals, the first in TOPICS.

    "other imports" where none of them is in the table, "no imports" where there are none.
    """
    names = {name.lower() for name in (*_IMPORTED.findall(text), *tags)} - {"__future__", "typing"}
    if not names:
        return NOTHING
    votes = [_TOPIC_OF[name] for name in names if name in _TOPIC_OF]
    return max(TOPICS, key=votes.count) if votes else OTHER


def origin(source: str, meta: Mapping[str, Any]) -> str:
    """What a document belongs together with: its package, its repository, or else the first folder inside its source.

    A record of a file that lies in no folder belongs to that file.
    """
    if known := meta.get("package") or meta.get("repository"):
        return str(known)
    *folders, name = source.split("/")
    return "/".join(folders[:2]) or name.partition(":")[0]
