"""The documentation: its links, its commands, and the configuration reference."""

import re
import subprocess
import sys

import pytest
import yaml

from benchmarks.__main__ import NAMES
from coca.configuration.fitting import FitConfig
from coca.configuration.run import Config
from coca.configuration.training import TrainConfig
from tests import ROOT
from tests.house import modules

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/[!_]*.md")])
MOST_ROWS = 15
"""Of tables of measurements on a page that is to be read; docs/tables has them all."""
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
COMMAND = re.compile(
    r"(?:python (run_sim\.py|-m benchmarks \w+)|(?:^|`)(coca \w+))(?: (configs/[\w./-]+))?", re.M
)
COMMANDS = "run", "ics", "analyse", "lens", "collect", "train", "fit"


def commands(text):
    return sorted(set(COMMAND.findall(text)))


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    """The pages built in strict mode: a warning is an error."""
    out = tmp_path_factory.mktemp("html")
    build = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    done = subprocess.run([*build, ROOT / "docs", out], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    links = [link for link in LINK.findall(page.read_text()) if "://" not in link]
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page):
    """In backticks, of this repository; NAME stands for the reader's."""
    named = re.findall(r"`((?:coca|kernels|configs|docs|benchmarks)/[\w/.-]+)`", page.read_text())
    assert not [name for name in named if "NAME" not in name and not (ROOT / name).exists()]


def test_tests_that_reports_name_exist():
    names = set(
        re.findall(r"\b(?:[a-z0-9]+_){2,}[a-z0-9]+\b", (ROOT / "docs/reports.md").read_text())
    )
    code = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    known = set(re.findall(r"def test_(\w+)\(", code))
    files = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    assert len(names) > 30 and not names - known - files


@pytest.mark.parametrize("name", ["accuracy", "nbody", "force", "light_cone", "scaling"])
def test_pages_of_measurements_are_short(name):
    """A figure, some rows, and a link to all of them, which are there."""
    page = (ROOT / "docs" / f"{name}.md").read_text()
    measured = re.findall(r"^\|[^|]*\|[^|]*[-+ ]\d[\d.]* .*\|$", page, re.M)
    assert len(measured) <= MOST_ROWS
    assert re.search(r"!\[[^]]+\]\(\w+\.png\)", page)
    assert f"(tables/{name}.md" in page
    full = (ROOT / "docs" / "tables" / f"{name}.md").read_text()
    assert full.count("\n|") > page.count("\n|")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page):
    for program, command, file in commands(page.read_text()):
        name = (program or command).split()[-1]
        if command:
            assert name in COMMANDS
        elif "benchmarks" in program:
            assert name in (*NAMES, "NAME")
        else:
            assert (ROOT / name).is_file()
        assert not file or (ROOT / file).is_file()


def test_the_page_of_commands_has_all_of_them():
    """And the pattern above finds them."""
    found = commands((ROOT / "docs/commands.md").read_text())
    assert {command.split()[-1] for _, command, _ in found if command} == set(COMMANDS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Config, TrainConfig, FitConfig])
def test_every_key_is_in_the_reference(html, kind):
    """Keys walked here from the JSON schema, not by the code that makes the page."""
    schema = kind.model_json_schema()
    text = re.sub(r"<[^>]+>", "", (html / "configuration.html").read_text())
    missing = [key for key in keys(schema, schema) if not re.search(rf"^{key}$", text, re.M)]
    assert not missing


def keys(schema, part, prefix=""):
    """Dotted names of the keys of a JSON schema that are not sections."""
    for name, value in part["properties"].items():
        below = [value, *value.get("anyOf", []), *value.get("allOf", [])]
        section = next((v["$ref"].rpartition("/")[2] for v in below if "$ref" in v), None)
        if section:
            yield from keys(schema, schema["$defs"][section], f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


@pytest.mark.slow
def test_public_modules_are_in_the_api(html):
    text = (html / "api.html").read_text()
    for name in modules():
        if not name.rpartition(".")[2].startswith("_"):
            assert f'id="module-{name}"' in text, name


@pytest.mark.slow
def test_nothing_is_fetched(html):
    """Pages work without a network: no script, style or picture from elsewhere."""
    fetched = re.compile(r'<(?:script|img|link)[^>]+(?:src|href)="https?://[^"]*"')
    assert not [page.name for page in html.glob("*.html") if fetched.search(page.read_text())]


def test_citation_is_of_this_version_of_the_licence():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["license"] == "BSD-3-Clause"
    assert "arXiv:2409.02154" in str(citation["preferred-citation"]["identifiers"])
