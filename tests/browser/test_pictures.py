"""Pictures come in, labels come out."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Route, expect

from tests.api.live_server import LiveServer, listening
from tests.api.world import add_version, picture
from tests.browser.conftest import OpenPage
from tests.browser.playground import Playground, Upload, uploads
from tests.factories.images import encode, noise_image

# The device takes one image, and one more lies ready.
ONE: dict[str, Any] = {"max_batch_size": 1, "max_images_per_request": 1}


def truth(server: LiveServer, content: bytes, **query: int) -> list[tuple[str, float]]:
    """What the server says of a picture when it is asked without a page."""
    answer = httpx.post(f"{server.url}/v1/classify", params=query, content=content)
    return [(found["label"], found["score"]) for found in answer.json()["predictions"]]


def percent(score: float) -> str:
    return f"{100 * score:.1f} %"


def test_chosen_picture_is_answered_with_ranked_bars(
    playground: Playground, server: LiveServer
) -> None:
    playground.choose(Upload("cat.png", picture(3)))

    expected = truth(server, picture(3))
    expect(playground.bars).to_have_count(3)
    assert playground.texts(playground.bars, ".label") == [label for label, _ in expected]
    assert playground.texts(playground.bars, ".score") == [percent(s) for _, s in expected]
    widths = [bar.bounding_box() for bar in playground.bars.locator(".track i").all()]
    drawn = [box["width"] for box in widths if box is not None]
    assert drawn == sorted(drawn, reverse=True)
    expect(playground.page.locator("#announce")).to_contain_text(
        f"cat.png: {expected[0][0]}, {percent(expected[0][1])}"
    )
    expect(playground.many).to_be_hidden()


def test_answer_tells_the_stages_of_its_time_and_the_batch(playground: Playground) -> None:
    playground.choose(Upload())

    expect(playground.answer.locator(".legend li")).to_have_count(4)
    stages = playground.texts(playground.answer, ".legend li")
    assert [stage.split()[0] for stage in stages] == ["decode", "queue", "execute", "rest"]
    assert all(re.search(r"\d ms$", stage) for stage in stages)
    expect(playground.answer.locator(".times")).to_contain_text("(batch of 1)")
    expect(playground.answer.locator("figcaption")).to_contain_text("PNG, 4 × 4 px, RGB")


def test_pasted_picture_is_classified(playground: Playground, server: LiveServer) -> None:
    playground.paste(picture(5))

    expect(playground.bars).to_have_count(3)
    expect(playground.answer.locator("figcaption")).to_contain_text("pasted.png")
    best, _ = truth(server, picture(5))[0]
    expect(playground.bars.first).to_contain_text(best)


def test_of_five_dropped_files_a_broken_one_fails_alone(playground: Playground) -> None:
    files = uploads(4)
    files.insert(2, Upload("notes.txt", b"no picture", "text/plain"))
    playground.drop(*files)

    expect(playground.rows).to_have_count(5)
    expect(playground.many.locator("#many-count")).to_have_text(
        "4 of 5 pictures classified, 1 failed"
    )
    expect(playground.rows.nth(2)).to_contain_text("Unsupported Media Type")
    expect(playground.rows.nth(2)).to_contain_text("enabled formats: PNG, JPEG")
    expect(playground.many.get_by_role("progressbar")).to_be_hidden()
    # The first one is shown; a click shows another.
    expect(playground.answer.locator("figcaption")).to_contain_text("0.png")
    playground.many.get_by_role("button", name="3.png").click()
    expect(playground.answer.locator("figcaption")).to_contain_text("3.png")


def test_one_of_our_pictures_can_be_tried_with_a_click(playground: Playground) -> None:
    playground.page.get_by_role("button", name="Try the ship").click()

    expect(playground.bars).to_have_count(3)
    expect(playground.answer.locator("figcaption")).to_contain_text("WEBP, 256 × 256 px")


def test_photo_is_taken_where_there_is_a_touch_screen(
    playground: Playground, open_page: OpenPage, server: LiveServer
) -> None:
    expect(playground.page.get_by_role("button", name="Take a photo")).to_be_hidden()
    phone = open_page(server.url, has_touch=True, is_mobile=True)
    with phone.page.expect_file_chooser() as chooser:
        phone.page.get_by_role("button", name="Take a photo").tap()
    assert chooser.value.element.get_attribute("capture") == "environment"
    chooser.value.set_files([Upload("photo.jpg").for_chooser()])
    expect(phone.bars).to_have_count(3)


def test_new_pictures_replace_those_before_and_give_their_memory_back(
    playground: Playground,
) -> None:
    playground.choose(*uploads(3))
    expect(playground.rows).to_have_count(3)
    assert playground.held_pictures == 3
    playground.choose(Upload("one.png"))
    expect(playground.answer.locator("figcaption")).to_contain_text("one.png")
    expect(playground.many).to_be_hidden()
    assert playground.held_pictures == 1


def test_version_label_and_model_can_be_chosen(playground: Playground) -> None:
    assert playground.texts(playground.version, "option") == [
        "Default (2)", "stable (2)", "beta (1)", "Version 2", "Version 1",
    ]  # fmt: skip
    playground.choose(Upload())
    verdict = playground.answer.locator(".verdict")
    expect(verdict).to_have_text("cifar10, version 2")
    playground.version.select_option("Version 1")
    expect(verdict).to_have_text("cifar10, version 1")
    assert "version=1" in playground.copy_request("curl")
    playground.version.select_option("Default (2)")
    expect(verdict).to_have_text("cifar10, version 2")
    playground.version.select_option("beta (1)")
    expect(verdict).to_have_text("cifar10, version 1")
    assert "label=beta" in playground.copy_request("curl")

    playground.model.select_option("flowers")
    expect(verdict).to_have_text("flowers, version 7")
    expect(playground.bars).to_have_count(2)
    assert playground.texts(playground.version, "option") == [
        "Default (7)", "stable (7)", "Version 7",
    ]  # fmt: skip


def test_as_many_labels_are_shown_as_are_asked_for(open_page: OpenPage, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    add_version(store, classes=tuple(f"class {number}" for number in range(12)))
    with listening(store) as server:
        playground = open_page(server.url)
        playground.choose(Upload())
        expect(playground.bars).to_have_count(5)
        shown = playground.page.get_by_role("combobox", name="Show")
        for wanted, count in (("3 labels", 3), ("10 labels", 10), ("all labels", 12)):
            shown.select_option(wanted)
            expect(playground.bars).to_have_count(count)


def test_copied_curl_runs_and_gives_the_same_answer(
    playground: Playground, server: LiveServer, tmp_path: Path
) -> None:
    name = 'my cat\'s $HOME & "pic".png'
    (tmp_path / name).write_bytes(picture(8))
    playground.choose(Upload(name, picture(8)))
    expect(playground.bars).to_have_count(3)

    command = playground.copy_request("curl")
    ran = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, capture_output=True, timeout=30, check=True
    )
    found = json.loads(ran.stdout)["predictions"]
    assert [(each["label"], each["score"]) for each in found] == truth(server, picture(8))


def test_copied_python_runs_and_gives_the_same_answer(
    playground: Playground, server: LiveServer, tmp_path: Path
) -> None:
    name = 'a "quoted" \\ näme.png'
    (tmp_path / name).write_bytes(picture(8))
    playground.choose(Upload(name, picture(8)))
    expect(playground.bars).to_have_count(3)

    program = playground.copy_request("Python")
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path, capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    shown = [line.split(maxsplit=1)[1] for line in ran.stdout.splitlines()]
    assert shown == [label for label, _ in truth(server, picture(8))]


def test_file_above_the_limit_gets_the_words_of_the_server(
    open_page: OpenPage, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    store.mkdir()
    with listening(store, max_upload_bytes=100_000) as server:
        playground = open_page(server.url)
        large = encode(noise_image(1000, 700), "PNG")
        assert len(large) > 2_000_000
        playground.choose(Upload("photo.png", large))
        problem = playground.answer.get_by_role("alert")
        expect(problem).to_contain_text("Payload Too Large")
        expect(problem).to_contain_text("the limit is 100,000 (KERASERVE_MAX_UPLOAD_BYTES)")
        expect(problem).to_contain_text("413 upload_too_large · request 01")


def test_full_queue_says_when_to_come_back_and_can_be_tried_again(
    open_page: OpenPage, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    store.mkdir()
    with listening(store, max_queue_size=1, **ONE) as server:
        playground = open_page(server.url)
        puppet = server.puppets["cifar10:1"]
        puppet.hold()
        with (
            httpx.Client(base_url=server.url, timeout=30) as client,
            ThreadPoolExecutor(4) as pool,
        ):
            # One is executed, one lies ready, one waits: the queue is full once one is refused.
            others = [
                pool.submit(client.post, "/v1/classify", content=picture(seed)) for seed in range(4)
            ]
            refused, _ = wait(others, return_when=FIRST_COMPLETED)
            assert [each.result().status_code for each in refused] == [429]
            playground.choose(Upload())
            problem = playground.answer.get_by_role("alert")
            expect(problem).to_contain_text("Too Many Requests")
            expect(problem).to_contain_text(re.compile(r"room again in \d+ seconds?\."))
            puppet.let_go()
        playground.answer.get_by_role("button", name="Try again").click()
        expect(playground.bars).to_have_count(3)


def test_names_of_files_and_classes_are_text_whatever_they_hold(playground: Playground) -> None:
    name = "<img src=x onerror=alert(1)>.png"
    playground.page.on("dialog", lambda dialog: playground.faults.append(dialog.message))
    playground.model.select_option("flowers")
    playground.choose(Upload(name), Upload(f"other {name}"))
    expect(playground.rows).to_have_count(2)
    expect(playground.rows.first).to_contain_text(name)
    expect(playground.answer.locator("figcaption")).to_contain_text(name)
    expect(playground.bars.filter(has_text="<b>tulip</b>")).to_have_count(1)
    assert playground.page.locator("img[onerror], .bars b, #about b, table b").count() == 0


def test_file_that_cannot_be_read_is_said_to_be_so(playground: Playground) -> None:
    playground.page.evaluate(
        """() => {
          Blob.prototype.arrayBuffer = () => Promise.reject(new DOMException("", "NotFoundError"));
        }"""
    )
    playground.choose(Upload())
    expect(playground.answer.get_by_role("alert")).to_contain_text("The browser cannot read it")


def test_strip_of_the_stages_is_full_however_fast_the_answer_is(playground: Playground) -> None:
    timing = {"decode_ms": 0.1, "queue_ms": 0.02, "execute_ms": 0.2, "total_ms": 0.4}

    def fast(route: Route) -> None:
        answer = route.fetch().json()
        answer["timing"] |= timing
        route.fulfill(json=answer)

    playground.page.route(re.compile(r"/v1/classify\?"), fast)
    playground.choose(Upload())
    expect(playground.answer.locator(".strip i")).to_have_count(4)
    left, right = playground.answer.locator(".strip").evaluate(
        """(strip) => [strip, strip.lastChild].map((each) => each.getBoundingClientRect().right)"""
    )
    assert right == pytest.approx(left, abs=1)


def test_picture_that_is_no_file_can_be_saved_for_the_copied_request(
    playground: Playground, server: LiveServer, tmp_path: Path
) -> None:
    playground.paste(picture(8))
    expect(playground.bars).to_have_count(3)
    command = playground.copy_request("curl")
    with playground.page.expect_download() as download:
        playground.answer.get_by_role("link", name="save the picture").click()
    download.value.save_as(tmp_path / download.value.suggested_filename)
    ran = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, capture_output=True, timeout=30, check=True
    )
    found = json.loads(ran.stdout)["predictions"]
    assert [(each["label"], each["score"]) for each in found] == truth(server, picture(8))

    playground.page.get_by_role("button", name="Try the ship").click()
    expect(playground.answer.locator("figcaption")).to_contain_text("ship.webp")
    expect(playground.answer.locator("a[download='ship.webp']")).to_be_attached()
    playground.choose(Upload())
    expect(playground.answer.locator("figcaption")).to_contain_text("cat.png")
    expect(playground.bars).to_have_count(3)
    assert playground.answer.locator("a[download]").count() == 0
