"""The packages installed beside hornbook: where their files are, and who owns each under what licence."""

from __future__ import annotations

import csv
import importlib.metadata
import sysconfig
from importlib.metadata import PackageMetadata
from pathlib import Path


def site_folders() -> list[Path]:
    """The folders that the running interpreter's packages are installed in."""
    return [Path(path) for path in sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})]


def owners_of_files() -> dict[str, dict[str, str]]:
    """File name relative to site-packages -> package, version and licence, from the packages' own records."""
    owners: dict[str, dict[str, str]] = {}
    for package in importlib.metadata.distributions(path=[str(folder) for folder in site_folders()]):
        known = package.metadata  # parsed anew each time it is asked for
        if not known or "Name" not in known:
            continue  # what a broken installation left behind
        meta = {"package": known["Name"], "version": known["Version"], "licence": licence(known)}
        for row in filter(None, csv.reader((package.read_text("RECORD") or "").splitlines())):
            owners[row[0]] = meta
    return owners


def licence(known: PackageMetadata) -> str:
    """The licence a package names, in its shortest form; empty where it names none."""
    for name in ("License-Expression", "License"):
        for text in known.get_all(name) or ():
            if text.strip() and len(text) <= 100 and "\n" not in text and text != "UNKNOWN":
                return str(text).strip()
    classifiers = [c for c in known.get_all("Classifier") or () if c.startswith("License ::")]
    return "; ".join(c.rpartition(":: ")[2] for c in classifiers)
