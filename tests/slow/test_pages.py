"""In a browser: a run begun in Prefect's form, its gate decided there, and what both interfaces show of it.

Pictures of the pages are kept in the folder that EDGEWRIGHT_SCREENSHOTS names, or in the test's own.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import edgewright, with_store
from tests.stack import Stack, up, wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.slow, pytest.mark.browser]

_QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--no-first-run"),
)
_PATIENCE_MS = 60_000
_ENDS = ("Completed", "Failed", "Crashed")


@pytest.fixture(scope="module")
def stack(toy_run: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A home that is up and knows the toy run: what a test changes is all that is computed."""
    with up(with_store(toy_run.store, tmp_path_factory.mktemp("pages") / "home")) as here:
        yield here


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium is installed: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=chromium, args=_QUIET) as browser:
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(_PATIENCE_MS)
        yield page


class Album:
    """Pictures of pages, numbered."""

    def __init__(self, page: Page, folder: Path) -> None:
        self._page, self._folder, self._taken = page, folder, 0
        folder.mkdir(parents=True, exist_ok=True)

    def take(self, name: str) -> None:
        self._taken += 1
        self._page.wait_for_timeout(1500)  # charts and fonts
        self._page.screenshot(path=self._folder / f"{self._taken}-{name}.png")


def test_from_the_form_to_the_registry(stack: Stack, page: Page, toy_settings: list[str], tmp_path: Path) -> None:
    album = Album(page, Path(os.environ.get("EDGEWRIGHT_SCREENSHOTS") or tmp_path))
    asks = ("--set", "gate_data.on_refuse=ask", "--set", "gate_data.min_images=1000")
    edgewright("deploy", "demo", *toy_settings, *asks, "--name", "pages", home=stack.home)
    prefect = stack.api.removesuffix("/api")

    flow_run = begin_in_the_form(stack, page, album, prefect)
    page.goto(f"{prefect}/runs/flow-run/{flow_run}")
    wait_for(lambda: stack.state_of(flow_run) in ("Suspended", *_ENDS))
    assert stack.state_of(flow_run) == "Suspended"
    page.get_by_text("enforce_data").first.wait_for(state="attached")
    album.take("a-run-that-waits")
    see_artifact(stack, page, prefect, key="gate-report", text="held-out photographs")
    album.take("gate-report")

    page.goto(f"{prefect}/runs/flow-run/{flow_run}")
    decide_in_the_form(page, album)
    wait_for(lambda: stack.state_of(flow_run) in _ENDS)
    assert stack.state_of(flow_run) == "Completed"
    page.reload()
    page.get_by_text("flash").first.wait_for(state="attached")
    album.take("a-run-that-is-done")
    for key, text in {"dataset-card": "90 labeled", "image-grid": "synthetic pictures", "model-card": "mAP50"}.items():
        see_artifact(stack, page, prefect, key=key, text=text)
        album.take(key)

    see_in_mlflow(stack, page, album, stack.record_of(flow_run))


def begin_in_the_form(stack: Stack, page: Page, album: Album, prefect: str) -> str:
    """Change a field, submit; the flow run's id."""
    known = {run["id"] for run in stack.flow_runs(named="lifecycle")}
    deployment = stack.deployment("lifecycle", "pages")
    page.goto(f"{prefect}/deployments/deployment/{deployment['id']}/run")
    label = page.locator("label", has_text="Feed Frames (Optional)")
    page.locator(".p-label", has=label).last.locator("input").fill("5")
    album.take("form")
    page.get_by_role("button", name="Submit").click()
    begun = wait_for(lambda: [one for one in stack.flow_runs(named="lifecycle") if one["id"] not in known])
    assert begun[0]["parameters"]["recipe"]["flash"]["feed_frames"] == 5
    return str(begun[0]["id"])


def decide_in_the_form(page: Page, album: Album) -> None:
    page.get_by_role("button", name="Resume").click()
    page.get_by_text("Choice (Optional)").wait_for()
    page.locator(".p-modal .p-select-button__control").focus()
    page.keyboard.press("ArrowDown")  # a synthetic click's focus opens the list, and the click closes it
    page.get_by_text("real_only", exact=True).last.click()
    why, person = page.locator("textarea").all()[-2:]
    why.fill("they look odd")
    person.fill("the test")
    album.take("the-question")
    page.get_by_role("button", name="Submit").click()
    page.get_by_text("Choice (Optional)").wait_for(state="detached")


def see_artifact(stack: Stack, page: Page, prefect: str, *, key: str, text: str) -> None:
    page.goto(f"{prefect}/artifacts/artifact/{stack.artifact(key)['id']}")
    page.get_by_text(text).first.wait_for()
    picture = page.locator("img[src^='data:image']")
    if key in ("gate-report", "image-grid"):
        picture.first.wait_for()
        assert picture.first.evaluate("image => image.naturalWidth") > 100


def see_in_mlflow(stack: Stack, page: Page, album: Album, record: dict[str, Any]) -> None:
    """The note with its way back, a picture, the registered model with its aliases."""
    from mlflow import MlflowClient

    client = MlflowClient(stack.tracking_uri)
    experiment = client.get_run(record["mlflow_run_id"]).info.experiment_id
    runs = f"{stack.mlflow_pages}/#/experiments/{experiment}/runs"
    page.goto(f"{runs}/{record['mlflow_run_id']}?workflowType=machine_learning")
    page.get_by_text("An INT8 detector of").wait_for()
    back = page.get_by_role("link", name="Prefect run")
    assert record["prefect_flow_run_id"] in str(back.get_attribute("href"))
    album.take("mlflow-run")
    model = f"edgewright-{record['project']}"
    page.goto(f"{stack.mlflow_pages}/#/models/{model}")
    page.get_by_text("champion", exact=True).first.wait_for()
    album.take("mlflow-model")
