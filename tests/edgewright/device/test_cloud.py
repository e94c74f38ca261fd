"""A real device, a real server over TLS with certificates at both ends: what leaves, what comes back, what fails."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgewright.device.cloud import Cloud, Line, with_escalation
from edgewright.device.escalation import Counts
from edgewright.device.feed import Folder
from edgewright.device.files import Files
from edgewright.device.frames_policy import EscalationPolicy, FramesPolicy
from edgewright.device.hard import HARD
from edgewright.device.hiding import BLUR_FOLDER
from edgewright.device.home import DeviceConfig, Home, init_home
from edgewright.device.keeping import Keeping, keep_policy, with_policy
from edgewright.device.runner import FeedReport, run_feed
from edgewright.device.sighting import Sighting
from edgewright.runtime.boxes import Boxes
from edgewright.runtime.bundle import Bundle
from edgewright.runtime.session import load_network, predictor
from tests.cells import cell_picture
from tests.collectors import RunningCollector, running_collector
from tests.listeners import closed_port, silent, speechless
from tests.model_servers import NAME, Seen, application_of, enrolled, listening_as_model

MakeBundle = Callable[..., Path]
PATIENCE_S = 20.0


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[RunningCollector]:
    with running_collector(tmp_path / "fleet") as running:
        yield running


@pytest.fixture
def home(collector: RunningCollector, tmp_path: Path) -> Home:
    return enrolled(collector, tmp_path / "device")


@pytest.fixture
def serve(tmp_path: Path) -> Callable[[Any], AbstractContextManager[str]]:
    return lambda application: listening_as_model(tmp_path / "fleet", application)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(4):
        Image.fromarray(cell_picture(number, (number + 1) % 4)).save(folder / f"{number}.png")
    return folder


def permit(home: Home, to: str, *, hides: dict[str, Any] | None = None, **changes: Any) -> None:
    given: dict[str, Any] = {"share_per_mille": 1_000, "deadline_ms": 5_000, "bytes_an_hour": 4_000_000_000, **changes}
    keep_policy(home, FramesPolicy(an_hour=0, escalation=EscalationPolicy(to, **given), **(hides or {})))


class Device:
    """Detects by the doubting detector until it is told to stop, and keeps what it is told."""

    def __init__(self, home: Home, bundle: Path, pictures: Path) -> None:
        self.told: list[dict[str, Any]] = []
        self.said: list[str] = []
        self.counts, self.frames = Counts(), 0
        self._home, self._bundle, self._pictures = home, Bundle.load(bundle), pictures
        self.cloud = with_escalation(home, self._bundle, tell=self._tell, say=self.said.append)

    def _tell(self, message: Any) -> None:
        self.told.append(dict(message))

    def run(self, over: Callable[[], bool], *, waits: bool = True, goes_on: bool = False) -> None:
        """Rounds until `over`, then the end unless it `goes_on`; `waits`: at each frame until nobody is asked."""
        assert self.cloud is not None, self.said
        began, cloud = time.monotonic(), self.cloud

        def local(sighting: Sighting) -> None:
            self.told.append(dict(sighting.message))
            self.frames += 1

        def settle(_: Sighting) -> None:
            while waits and cloud.asking and time.monotonic() - began < PATIENCE_S:
                time.sleep(0.002)

        while not over() and time.monotonic() - began < PATIENCE_S:
            run_feed(
                self._bundle,
                Folder(self._pictures),
                self._home.root.with_name("out"),
                files=Files(),
                on_frame=lambda _: None,
                watchers=(local, cloud, settle),
                floor=cloud.floor,
            )
            self._add(cloud.told())
        if not goes_on:
            cloud.close()
            self._add(cloud.told())

    def _add(self, more: Counts) -> None:
        before, after = self.counts.to_json(), more.to_json()
        self.counts = Counts(**{k: after[k] if k == "breaker" else before[k] + after[k] for k in after})

    @property
    def answers(self) -> list[dict[str, Any]]:
        return [message for message in self.told if message.get("by") == "cloud"]


@pytest.fixture
def device(home: Home, make_bundle: MakeBundle, pictures: Path) -> Iterator[Callable[[], Device]]:
    """Of a detector that doubts: all scores are 0.451, below its threshold of 0.5."""
    made: list[Device] = []

    def make() -> Device:
        made.append(Device(home, make_bundle(gain=0.5), pictures))
        return made[-1]

    yield make
    for each in made:
        if each.cloud:
            each.cloud.close()


@pytest.fixture
def larger(make_bundle: MakeBundle) -> Seen:
    """Of a detector that is sure: 0.902."""
    bundle = Bundle.load(make_bundle(gain=1.0))
    return Seen(predictor(load_network(bundle.model), bundle.manifest.spec))


def test_the_local_answer_comes_first_and_the_clouds_as_a_second_message(
    collector: RunningCollector, home: Home, serve: Any, larger: Seen, device: Callable[[], Device]
) -> None:
    with serve(application_of(collector, larger)) as url:
        permit(home, url)
        one = device()
        one.run(lambda: len(one.answers) >= 3)
    answer = one.answers[-1]
    place = one.told.index(answer)
    local = one.told[place - 1]
    assert local["frame"] == answer["frame"] and local["detections"] == [] and "by" not in local
    assert answer["model"] == NAME and 0 < answer["latency_ms"] < 5_000
    assert {name: answer[name] for name in ("device", "release", "at")} == {
        name: local[name] for name in ("device", "release", "at")
    }
    number = int(answer["frame"][0])
    found = {row["class"]: row for row in answer["detections"]}
    assert set(found) == {"red", "green"} and found["red"]["class_id"] == 0
    y, x = divmod(number, 2)
    assert found["red"]["xyxy"] == pytest.approx([32 * x + 2, 32 * y + 2, 32 * x + 30, 32 * y + 30], abs=0.1)
    assert one.counts.answered == len(one.answers) and one.counts.bytes > 0 and one.said == []
    assert one.counts.to_json() | {"asked": 0, "answered": 0, "bytes": 0} == Counts().to_json()


def test_a_frame_that_the_detector_is_sure_of_stays_here(
    collector: RunningCollector, home: Home, serve: Any, larger: Seen, make_bundle: MakeBundle, pictures: Path
) -> None:
    with serve(application_of(collector, larger)) as url:
        permit(home, url, doubt_percent=round(100 * HARD))
        one = Device(home, make_bundle(gain=1.0), pictures)
        one.run(lambda: one.frames >= 40)
    assert one.counts == Counts() and larger.pictures == []


def test_what_is_hidden_is_hidden_before_it_leaves(
    collector: RunningCollector, home: Home, serve: Any, larger: Seen, device: Callable[[], Device], tmp_path: Path
) -> None:
    """The server sees a square of a mean where the cell was; the other one as it is."""
    for path in (tmp_path / "pictures").iterdir():
        path.unlink()
    noise = np.random.default_rng(0).integers(199, 255, (256, 256), dtype=np.uint8)
    picture = np.zeros((512, 512, 3), np.uint8)
    picture[:256, :256, 0], picture[256:, 256:, 1] = noise, noise
    Image.fromarray(picture).save(tmp_path / "pictures/0.png")
    with serve(application_of(collector, larger)) as url:
        permit(home, url, hides={"blur": ("red",)}, side_px=256)
        one = device()
        one.run(lambda: len(one.answers) >= 1)
    [sent, *_] = larger.pictures
    assert sent.shape == (256, 256, 3), "and made small"
    red, green = sent[20:100, 20:100, 0].astype(float), sent[160:240, 160:240, 1].astype(float)
    assert np.abs(np.diff(red)).mean() < 1 < 3 < np.abs(np.diff(green)).mean()
    rows = {row["class"]: row["xyxy"] for row in one.answers[0]["detections"]}
    assert rows["green"] == pytest.approx([272, 272, 496, 496], abs=3), "px of the file"


@pytest.mark.parametrize("case", ["no such class", "no bundle", "another bundle", "no fleet", "nobody to tell"])
def test_where_it_cannot_be_done_rightly_nothing_leaves_and_that_is_said(
    home: Home, make_bundle: MakeBundle, tmp_path: Path, case: str
) -> None:
    hides: dict[str, Any] = {"blur": ("person",)} if case == "no such class" else {}
    if "bundle" in case:
        hides = {"blur_bundle": "ab" * 32}
    if case == "another bundle":
        make_bundle().rename(home.root / BLUR_FOLDER)
    if case == "no fleet":
        config = DeviceConfig("line-2", "http://127.0.0.1:1", "stable")
        home = init_home(tmp_path / "alone", trust_root=b"{}", config=config, files=Files())
    permit(home, "https://127.0.0.1:1", hides=hides)
    said: list[str] = []
    tell = None if case == "nobody to tell" else said.append
    assert with_escalation(home, Bundle.load(make_bundle()), tell=tell, say=said.append) is None  # type: ignore[arg-type]
    assert len(said) == 1 and said[0].startswith("no frame is asked about: ")


def test_without_a_policy_nobody_is_asked_and_without_an_hour_none_is_kept(home: Home, make_bundle: MakeBundle) -> None:
    bundle, said = Bundle.load(make_bundle()), list[str]()
    for policy in (None, FramesPolicy()):
        keep_policy(home, policy)
        assert with_escalation(home, bundle, tell=lambda _: None, say=said.append) is None
    permit(home, "https://127.0.0.1:1", share_per_mille=0)
    assert with_escalation(home, bundle, tell=lambda _: None, say=said.append) is None and said == []
    assert with_policy(home, bundle, say=said.append) is None
    keep_policy(home, FramesPolicy())
    assert isinstance(with_policy(home, bundle, say=said.append), Keeping)


def test_an_expelled_device_is_refused_and_a_stranger_too(
    collector: RunningCollector, home: Home, serve: Any, larger: Seen, device: Callable[[], Device], tmp_path: Path
) -> None:
    with serve(application_of(collector, larger)) as url:
        permit(home, url)
        one = device()
        one.run(lambda: len(one.answers) >= 1, goes_on=True)
        before = len(larger.pictures)
        collector.expel("line-1", "it was stolen")
        one.run(lambda: one.counts.refused >= 3)
        assert one.counts.breaker == "open" and len(larger.pictures) == before
        assert [said for said in one.said if "it was stolen" in said] == one.said[:1]


def test_a_certificate_of_another_authority_is_not_believed(
    home: Home, larger: Seen, device: Callable[[], Device], tmp_path: Path
) -> None:
    """Whoever stands between a device and its server sees no picture."""
    with (
        running_collector(tmp_path / "elsewhere") as other,
        listening_as_model(tmp_path / "elsewhere", application_of(other, larger)) as url,
    ):
        permit(home, url)
        one = device()
        one.run(lambda: one.counts.failed >= 3)
    assert larger.pictures == [] and one.counts.breaker == "open"
    assert "certificate" in one.said[0]


def test_while_the_server_is_down_the_feed_goes_on_and_the_breaker_opens(
    home: Home, device: Callable[[], Device]
) -> None:
    permit(home, f"https://127.0.0.1:{closed_port()}")
    one = device()
    one.run(lambda: one.counts.breaker == "open" and one.frames >= 100)
    assert (one.counts.failed, one.counts.asked, one.counts.bytes, one.answers) == (3, 0, 0, [])
    assert one.frames >= 100 and len(one.said) == 1 and "connection refused" in one.said[0]


def test_a_late_answer_is_counted_and_dropped_and_holds_nothing_up(
    collector: RunningCollector, home: Home, serve: Any, larger: Seen, device: Callable[[], Device]
) -> None:
    """The server needs three deadlines: after two nobody waits for it any longer, and frames came all the while."""

    def slow(image: Any) -> Boxes:
        time.sleep(0.45)
        return larger(image)

    with serve(application_of(collector, slow)) as url:
        permit(home, url, deadline_ms=150)
        one = device()
        one.run(lambda: one.counts.late >= 3, waits=False)
    assert one.answers == [] and one.counts.answered == 0 and one.counts.breaker == "open"
    assert one.frames > 20 * one.counts.asked


def test_an_answer_between_one_and_two_deadlines_is_late(
    collector: RunningCollector, home: Home, serve: Any, larger: Seen, device: Callable[[], Device]
) -> None:
    def slow(image: Any) -> Boxes:
        time.sleep(0.3)
        return larger(image)

    with serve(application_of(collector, slow)) as url:
        permit(home, url, deadline_ms=200)
        one = device()
        one.run(lambda: one.counts.late >= 1)
    assert one.answers == [] and len(larger.pictures) >= 1


def test_the_share_is_held_however_much_is_doubted(
    collector: RunningCollector, home: Home, serve: Any, larger: Seen, device: Callable[[], Device]
) -> None:
    with serve(application_of(collector, larger)) as url:
        permit(home, url, share_per_mille=100)
        one = device()
        one.run(lambda: one.frames >= 200)
    assert 0.05 * one.frames < len(larger.pictures) <= 0.1 * one.frames
    assert one.counts.asked == len(larger.pictures)


def test_the_links_bytes_are_held(
    collector: RunningCollector, home: Home, serve: Any, larger: Seen, device: Callable[[], Device]
) -> None:
    """3.6 MB an hour are less than 1 kB a second; a frame has some."""
    with serve(application_of(collector, larger)) as url:
        permit(home, url, bytes_an_hour=3_600_000)
        one = device()
        began = time.monotonic()
        one.run(lambda: time.monotonic() - began > 3)
        took = time.monotonic() - began
    assert 0 < one.counts.bytes <= 3_600_000 / 3600 * took


Scope, Receive, Send = dict[str, Any], Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]


def raw(status: int, *pieces: bytes, endless: bool = False, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Any:
    """A server that has read the picture, and says this."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        for _ in range(1_000 * endless):  # 65 MB: nobody reads so many
            await send({"type": "http.response.body", "body": b" " * 65_536, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return application


def lying(**row: Any) -> bytes:
    whole = {"class": "red", "score": 0.9, "xyxy": [0, 0, 9, 9], **row}
    return json.dumps({"model": "liar", "detections": [whole]}).encode()


@pytest.mark.parametrize(
    ("application", "said"),
    [
        (raw(200, endless=True), "more than"),
        (raw(200, b'{"model": "x", "detections": ['), "no answer to go by"),
        (raw(200, lying(xyxy=[0, 0, 900, 9])), "outside of the picture"),
        (raw(200, lying(xyxy=[0, 0, float("nan"), 9])), "outside of the picture"),
        (raw(200, lying(**{"class": "face"})), "not known here"),
        (raw(200, b"", headers=((b"content-encoding", b"gzip"),)), "no answer to go by"),
        (raw(302, b"", headers=((b"location", b"http://127.0.0.1:1/"),)), "it refuses: 302"),
        (raw(503, b"{}"), "cannot answer now (503)"),
        (raw(400, b'{"why": "\xff"}'), "it refuses: 400"),
    ],
)
def test_an_answer_that_is_endless_or_lies_is_a_failure(
    home: Home, serve: Any, device: Callable[[], Device], application: Any, said: str
) -> None:
    with serve(application) as url:
        permit(home, url)
        one = device()
        one.run(lambda: one.counts.breaker == "open")
    assert one.answers == [] and one.counts.failed + one.counts.refused == 3
    assert len(one.said) == 1 and said in one.said[0]


@pytest.mark.parametrize("program", [silent, speechless])
def test_a_program_that_speaks_no_tls_is_left_in_time(
    home: Home,
    device: Callable[[], Device],
    program: Callable[[], AbstractContextManager[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Line.open, "__kwdefaults__", {"within_s": 0.2})
    with program() as port:
        permit(home, f"https://127.0.0.1:{port}", deadline_ms=100)
        one = device()
        began = time.monotonic()
        one.run(lambda: one.counts.breaker == "open")
    assert (one.counts.failed, one.counts.asked, one.counts.bytes) == (3, 0, 0) and time.monotonic() - began < 3


def test_one_line_is_kept_and_made_anew_where_it_broke(
    collector: RunningCollector, home: Home, tmp_path: Path, larger: Seen, device: Callable[[], Device]
) -> None:
    """A handshake a frame would take three times the round trips."""
    peers: list[Any] = []
    inner = application_of(collector, larger)

    async def counted(scope: Scope, receive: Receive, send: Send) -> None:
        peers.append(scope["client"])
        await inner(scope, receive, send)

    with listening_as_model(tmp_path / "fleet", counted) as url:
        permit(home, url)
        one = device()
        one.run(lambda: len(one.answers) >= 8, goes_on=True)
        assert len(set(peers)) == 1
        assert one.cloud is not None
        one.cloud._line.cut()  # as a line that breaks between two questions
        one.run(lambda: len(set(peers)) == 2)
    assert len(set(peers)) == 2 and one.counts.failed == 0


def test_closing_waits_for_nobody(home: Home, device: Callable[[], Device]) -> None:
    """A request is under way to a server that never answers."""
    with silent() as port:
        permit(home, f"https://127.0.0.1:{port}", deadline_ms=10_000)
        one = device()
        assert one.cloud is not None
        running: list[FeedReport] = []
        stop = threading.Event()
        threading.Thread(target=lambda: one.run(stop.is_set, waits=False)).start()
        while not one.cloud.asking:
            time.sleep(0.01)
        time.sleep(0.2)
        began = time.monotonic()
        one.cloud.close()
        took = time.monotonic() - began
        stop.set()
    assert took < 0.5 and not running
    assert isinstance(one.cloud, Cloud)


def test_a_handshake_that_takes_longer_than_the_deadline_costs_one_frame(
    collector: RunningCollector, home: Home, serve: Any, larger: Seen, device: Callable[[], Device]
) -> None:
    """On a line of long ways no frame would ever be in time, if each began with one."""
    with serve(application_of(collector, larger)) as url:
        permit(home, url, deadline_ms=300)
        one = device()
        assert one.cloud is not None
        opened = one.cloud._line.open
        slow: list[float] = []

        def open_slowly() -> None:
            if not slow:
                slow.append(0.4)
                time.sleep(0.4)  # as long as a handshake over a satellite
            opened()

        one.cloud._line.open = open_slowly  # type: ignore[assignment,method-assign]
        one.run(lambda: len(one.answers) >= 1)
    assert slow and len(one.answers) >= 1 and (one.counts.failed, one.counts.late) == (0, 0)
