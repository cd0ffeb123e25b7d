"""How commands print: JSON for scripts, tables for people."""

from __future__ import annotations

from typing import Any


def print_json(value: Any) -> None:
    import orjson

    print(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY, default=str).decode())


def print_table(rows: list[dict[str, Any]], empty: str = "") -> None:
    """Rows as a plain aligned table; colours only on a terminal."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        return print(empty)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name, value in rows[0].items():
        table.add_column(name, justify="right" if isinstance(value, int | float) else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(f"{v:,}" if isinstance(v, int | float) else str(v)) for v in row.values()))
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    console.print(table)
    return None
