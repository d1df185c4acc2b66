"""Several pictures as a table: sorted, stopped and gone on with, downloaded."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from tests.api.live_server import LiveServer, listening
from tests.api.world import picture
from tests.browser.conftest import OpenPage
from tests.browser.playground import Playground, Upload, uploads

BROKEN = Upload("broken.png", b"no picture")


def column(playground: Playground, index: int) -> list[str]:
    """The texts of a column; rows of failed pictures have only the first two."""
    return playground.rows.locator(f"> :nth-child({index})").all_inner_texts()


def downloaded(playground: Playground) -> list[dict[str, str]]:
    with playground.page.expect_download() as download:
        playground.many.get_by_role("button", name="Download CSV").click()
    assert download.value.suggested_filename == "keraserve.csv"
    text = Path(download.value.path()).read_bytes().decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def test_columns_sort_both_ways_and_what_failed_comes_last(playground: Playground) -> None:
    playground.drop(*uploads(3), BROKEN, *uploads(6)[3:])
    expect(playground.many.locator("#many-count")).to_contain_text("6 of 7 pictures")

    head = playground.many.get_by_role("columnheader", name="Score")
    for order, is_descending in (("descending", True), ("ascending", False)):
        head.get_by_role("button").click()
        expect(head).to_have_attribute("aria-sort", order)
        scores = [float(text.split()[0]) for text in column(playground, 4)]
        assert len(scores) == 6
        assert scores == sorted(scores, reverse=is_descending)
        assert column(playground, 2)[-1] == "broken.png"
    playground.many.get_by_role("columnheader", name="File").get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "none")
    assert column(playground, 2) == [f"{number}.png" for number in range(6)] + ["broken.png"]


def test_csv_has_every_picture_with_the_servers_figures(
    playground: Playground, server: LiveServer
) -> None:
    playground.drop(*uploads(2), BROKEN)
    expect(playground.many.locator("#many-count")).to_contain_text("2 of 3 pictures")

    rows = downloaded(playground)
    assert [row["file"] for row in rows] == ["0.png", "1.png", "broken.png"]
    for seed, row in enumerate(rows[:2]):
        answer = httpx.post(f"{server.url}/v1/classify", content=picture(seed)).json()
        ranked = [(row[f"label_{rank}"], float(row[f"score_{rank}"])) for rank in (1, 2, 3)]
        assert ranked == [(found["label"], found["score"]) for found in answer["predictions"]]
        assert (row["model"], row["version"]) == ("cifar10", "2")
        assert (row["format"], row["width"], row["height"]) == ("PNG", "4", "4")
        assert float(row["total_ms"]) > 0
        assert row["request_id"]
        assert row["error_code"] == ""
    assert rows[2]["label_1"] == ""
    assert (rows[2]["error_status"], rows[2]["error_code"]) == ("415", "unsupported_format")
    assert "enabled formats: PNG, JPEG" in rows[2]["error_detail"]


def test_csv_quotes_and_disarms_names(playground: Playground) -> None:
    names = ['=HYPERLINK("http://x","y").png', "+1.png", "-1.png", "@a.png", 'a,"b"\n c.png']
    playground.drop(*(Upload(name, picture(seed)) for seed, name in enumerate(names)))
    expect(playground.many.locator("#many-count")).to_contain_text("5 of 5 pictures")

    assert [row["file"] for row in downloaded(playground)] == [
        *(f"'{name}" for name in names[:4]),
        names[4],
    ]


def test_many_pictures_are_sent_as_bulk_in_batches_of_the_server(
    open_page: OpenPage, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    store.mkdir()
    with listening(store) as server:
        playground = open_page(server.url)
        asked: list[str] = []
        playground.page.on("request", lambda request: asked.append(request.url))
        playground.drop(*uploads(40))
        expect(playground.many.locator("#many-count")).to_have_text("40 of 40 pictures classified")
        sent = [url for url in asked if "/v1/classify" in url]
        assert len(sent) == 40
        assert all("priority=bulk" in url for url in sent)


def test_stopped_run_keeps_what_is_done_and_goes_on(open_page: OpenPage, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    with listening(store, max_batch_size=1, max_images_per_request=1) as server:
        playground = open_page(server.url)
        puppet = server.puppets["cifar10:1"]
        before = len(puppet.executed)
        puppet.hold()
        playground.drop(*uploads(12))
        puppet.wait_began(before + 1)
        puppet.release(2)
        count = playground.many.locator("#many-count")
        expect(count).to_have_text("2 of 12 pictures classified")
        playground.many.get_by_role("button", name="Stop").click()
        expect(playground.rows.filter(has_text="Waiting")).to_have_count(10)
        puppet.let_go()
        playground.many.get_by_role("button", name="Go on").click()
        expect(count).to_have_text("12 of 12 pictures classified")
        expect(playground.many.get_by_role("progressbar")).to_be_hidden()
        expect(playground.many.locator("#stop")).to_be_hidden()


def test_picture_whose_run_was_stopped_does_not_look_busy(
    open_page: OpenPage, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    store.mkdir()
    with listening(store) as server:
        playground = open_page(server.url)
        puppet = server.puppets["cifar10:1"]
        before = len(puppet.executed)
        puppet.hold()
        playground.drop(*uploads(3))
        puppet.wait_began(before + 1)
        answer = playground.page.locator("#answer")
        expect(answer).to_have_attribute("aria-busy", "true")
        playground.many.get_by_role("button", name="Stop").click()
        expect(answer).to_have_attribute("aria-busy", "false")


def test_pictures_without_room_are_sent_again_when_the_server_says(
    open_page: OpenPage, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    store.mkdir()
    with listening(store, max_batch_size=1, max_queue_size=1, max_images_per_request=1) as server:
        playground = open_page(server.url)
        puppet = server.puppets["cifar10:1"]
        playground.page.clock.install()
        puppet.hold()
        with playground.page.expect_response(lambda response: response.status == 429):
            playground.drop(*uploads(8))
        puppet.let_go()
        count = playground.many.locator("#many-count")
        expect(count).not_to_have_text("8 of 8 pictures classified")
        for _ in range(4):  # as long as the page ever waits, each time
            playground.page.clock.run_for(30_000)
        expect(count).to_have_text("8 of 8 pictures classified")


@pytest.mark.parametrize("width", [360, 1280])
def test_many_rows_leave_the_rest_within_reach_and_each_shows_its_answer(
    open_page: OpenPage, server: LiveServer, width: int
) -> None:
    playground = open_page(server.url, viewport={"width": width, "height": 740})
    playground.drop(*uploads(60))
    expect(playground.many.locator("#many-count")).to_have_text("60 of 60 pictures classified")
    region = playground.many.get_by_role("region", name="Table of your pictures")
    box = region.bounding_box()
    assert box is not None
    assert box["height"] <= 0.75 * 740
    playground.assert_fits_its_width()
    playground.assert_accessible()
    # By keyboard, down to the last row; the head stays in sight.
    region.focus()
    playground.page.keyboard.press("End")
    last = playground.many.get_by_role("button", name="59.png")
    expect(last).to_be_in_viewport()
    expect(playground.many.get_by_role("columnheader", name="File")).to_be_in_viewport()
    last.press("Enter")
    expect(playground.answer.locator("figcaption")).to_contain_text("59.png")
    expect(playground.answer.locator("figcaption")).to_be_in_viewport()
    expect(last).to_be_focused()


def test_numbers_in_names_sort_as_numbers(playground: Playground) -> None:
    playground.drop(*reversed(uploads(12)))
    expect(playground.many.locator("#many-count")).to_have_text("12 of 12 pictures classified")
    playground.many.get_by_role("columnheader", name="File").get_by_role("button").click()
    assert column(playground, 2) == [f"{number}.png" for number in range(12)]


def test_end_of_many_is_read_aloud_and_not_each_of_them(playground: Playground) -> None:
    """Every change of a live region is."""
    playground.page.evaluate(
        """() => {
          window.said = [];
          for (const region of document.querySelectorAll("[role=status], [aria-live]")) {
            const note = () => window.said.push(region.textContent);
            const what = { childList: true, characterData: true, subtree: true };
            new MutationObserver(note).observe(region, what);
          }
        }"""
    )
    playground.drop(*uploads(12))
    end = "12 of 12 pictures classified"
    expect(playground.page.locator("#announce")).to_have_text(end)
    said: list[str] = playground.page.evaluate("window.said")
    assert [text for text in said if "classified" in text] == [end]
