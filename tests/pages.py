"""Prefect's and MLflow's pages in a browser, for tests: a run begun in a form, a gate decided, what is shown."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.stack import Stack, wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Page

_QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--no-first-run"),
)
_PATIENCE_MS = 60_000


@contextmanager
def browsing() -> Iterator[Page]:
    """A page of a real browser; the test is skipped where none is installed."""
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


def begin_in_the_form(stack: Stack, page: Page, album: Album, *, name: str) -> str:
    """Change a field of a deployment of the life cycle, submit; the flow run's id."""
    known = {run["id"] for run in stack.flow_runs(named="lifecycle")}
    deployment = stack.deployment("lifecycle", name)
    page.goto(f"{stack.prefect_pages}/deployments/deployment/{deployment['id']}/run")
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


def see_artifact(stack: Stack, page: Page, *, key: str, text: str) -> None:
    page.goto(f"{stack.prefect_pages}/artifacts/artifact/{stack.artifact(key)['id']}")
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
