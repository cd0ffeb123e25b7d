"""The packages installed beside hornbook: where their files are, and who owns each under what licence."""

from __future__ import annotations

import csv
import importlib.metadata
import sysconfig
from pathlib import Path


def site_folders() -> list[Path]:
    """The folders that the running interpreter's packages are installed in."""
    return [Path(path) for path in sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})]


def owners_of_files() -> dict[str, dict[str, str]]:
    """File name relative to site-packages -> package, version and licence, from the packages' own records."""
    owners: dict[str, dict[str, str]] = {}
    for package in importlib.metadata.distributions(path=[str(folder) for folder in site_folders()]):
        meta = {"package": package.name, "version": package.version, "licence": licence(package)}
        for row in csv.reader((package.read_text("RECORD") or "").splitlines()):
            owners[row[0]] = meta
    return owners


def licence(package: importlib.metadata.Distribution) -> str:
    """The licence a package names, in its shortest form; empty where it names none."""
    for name in ("License-Expression", "License"):
        for text in package.metadata.get_all(name) or ():
            if text.strip() and len(text) <= 100 and "\n" not in text and text != "UNKNOWN":
                return str(text).strip()
    classifiers = [c for c in package.metadata.get_all("Classifier") or () if c.startswith("License ::")]
    return "; ".join(c.rpartition(":: ")[2] for c in classifiers)
