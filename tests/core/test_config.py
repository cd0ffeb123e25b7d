from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field

from hornbook.core.errors import ConfigError, InputError
from hornbook.core.machine import Machine
from hornbook.core.settings import Config, parse, read_toml
from hornbook.stages.read.source import Source, needed_path


class Inner(Config):
    keep_share: float = Field(0.3, gt=0, le=1)


class Outer(Config):
    inner: Inner
    table: dict[str, Inner] = Field(default_factory=dict)
    names: tuple[str, ...] = ()
    word: str = Field("a", pattern=r"^[a-z]+$")
    several: tuple[Inner, ...] = Field((), min_length=1)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"inner": {"keep_shar": 0.2}}, r"my.toml: unknown key inner.keep_shar; did you mean keep_share\?"),
        ({"inner": {"keep_share": 7.0}}, r"inner.keep_share is 7.0; it should be less than or equal to 1"),
        ({"inner": {"keep_share": "half"}}, r"inner.keep_share is 'half'; it should be a valid number"),
        (
            {"inner": {}, "table": {"a": {"kept": 1}}},
            r"unknown key table.a.kept; did you mean keep_share|known keys",
        ),
        ({}, r"inner is missing"),
        ({"inner": {}, "word": "a b"}, r"^my.toml: word is 'a b'; it should match pattern '\^\[a-z\]\+\$'$"),
        (
            {"inner": {"keep_share": 7}, "nam": []},
            r"^my.toml:\n  inner.keep_share is 7; .*\n  unknown key nam; .*names",
        ),
        ({"inner": {}, "several": [{"keep_share": 7}]}, r"^my.toml: several.0.keep_share is 7; [^;]*1$"),
    ],
)
def test_an_error_names_file_key_value_and_what_is_allowed(values: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse(Outer, values, "my.toml")


def test_whole_numbers_and_lists_of_toml_are_taken_as_floats_and_tuples() -> None:
    config = parse(Outer, {"inner": {"keep_share": 1}, "names": ["a", "b"]}, "x")
    assert (config.inner.keep_share, config.names) == (1.0, ("a", "b"))


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Machine().workers = 3


def test_a_missing_and_a_broken_file_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_toml(tmp_path / "none.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("a = [1,\n")
    with pytest.raises(ConfigError, match=r"not TOML.*line 2|not TOML"):
        read_toml(broken)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (
            {"zero": 0, "offload_optimizer": "cpu"},
            "offload_optimizer is 'cpu', which needs zero of 1 or more",
        ),
        (
            {"offload_optimizer": "nvme", "nvme_path": "/fast"},
            "offload_optimizer is 'nvme', which needs zero of 3",
        ),
        ({"offload_parameters": "cpu"}, "offload_parameters is 'cpu', which needs zero of 3"),
        ({"zero": 3, "offload_optimizer": "nvme"}, "nvme needs nvme_path"),
    ],
)
def test_what_deepspeed_cannot_offload_is_refused(place: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=f"deepspeed: {said}"):
        parse(Machine, {"deepspeed": place}, "gpus.toml")


def test_a_root_and_a_source_below_home_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse(Machine, {"root": "~/data"}, "machine.toml").root == str(tmp_path / "data")
    (tmp_path / "code").mkdir()
    assert needed_path(Source(kind="folder", path="~/code")) == tmp_path / "code"
