"""Studies to draw and to describe, and a whole report; each is made once."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.factories.studies import HISTORY, NAMES, described, make_study
from training.evaluation.reports import Report, write_report
from training.evaluation.study import Study


@pytest.fixture(scope="session")
def study() -> Study:
    return make_study(NAMES)


@pytest.fixture(scope="session")
def many() -> Study:
    return make_study(tuple(f"the long name of class {n} $ of many" for n in range(40)))


@pytest.fixture(scope="session")
def without_pictures(study: Study) -> Study:
    return dataclasses.replace(study, examples=None, mistakes=None)


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory, study: Study) -> Path:
    """A report with everything; drawing takes a second, so the tests share it."""
    folder = tmp_path_factory.mktemp("version") / "report"
    write_report(folder, Report(study, HISTORY), described())
    return folder
