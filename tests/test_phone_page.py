"""The phone page in a real browser: dialled, answered, hung up on and looked at, by keyboard, by mouse and on a small screen.

`PICTURE=docs/phone-hi.png pytest tests/test_phone_page.py -k picture` takes the README's picture anew.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import httpx2
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect

from gateway.app import assemble, make_app
from gateway.carriers.phone import SLOW_PAGE
from gateway.demo import build_town, demo_phones
from gateway.hop import now_utc
from gateway.phone import page_words
from gateway.settings import load
from gateway.store import Store
from tests.browser import PATIENCE, Open, chromium, is_hop, windows
from tests.serving import served

CODE = "*384*1912#"
JSON = {"content-type": "application/json"}
DEVANAGARI = re.compile("[\u0900-\u097f]")

pytestmark = pytest.mark.xdist_group("browser")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The product over a small demo town, on a free port of this machine."""
    settings = load(_env_file=None, demo=True, database=f"sqlite:///{tmp_path_factory.mktemp('site')}/town.db")
    gateway = assemble(settings)
    build_town(gateway.store, now_utc(), limits=gateway.hop.policy.limits, consumers=500)
    phones = {one.label: one.phone for one in demo_phones(gateway.store)}
    name = gateway.store.consumer(next(one.account for one in demo_phones(gateway.store) if one.label == "one"))
    assert name
    with served(make_app(gateway, send=True)) as url:
        yield Site(f"{url}/phone/", phones, name.name.latin, gateway.store)


class Site:
    """Where the page is, the demo phones by label, and the name of the consumer behind the phone `one`."""

    def __init__(self, url: str, phones: dict[str, str], name: str, store: Store) -> None:
        self.url, self.phones, self.name, self.store = url, phones, name, store

    def written(self, label: str) -> int:
        """How many messages to a phone have been written down."""
        ((count,),) = self.store.database.rows("select count(*) from outbox where phone = ?", (self.phones[label],))
        return int(count)

    def post(self, path: str, body: object, headers: dict[str, str] | None = None) -> httpx2.Response:
        return httpx2.post(f"{self.url}api/{path}", content=json.dumps(body), headers={**JSON, **(headers or {})})


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def opened(browser: Browser, site: Site) -> Iterator[Open]:
    """Open the page as somebody sees it."""
    with windows(browser) as open_:

        def opened_(label: str, lang: str = "hi", width: int = 1280, height: int = 800) -> Page:
            page = open_(width, height)
            page.goto(f"{site.url}?lang={lang}")
            page.wait_for_selector("body[data-ready]")
            page.select_option("#who", site.phones[label])
            page.wait_for_selector(f"body[data-ready='{site.phones[label]}']")
            return page

        yield opened_


def on_screen(page: Page, screen: str) -> None:
    """The last hop showed this screen, and the phone shows what it was answered."""
    expect(page.locator("#hops tr").first.locator("code")).to_have_text(re.compile(screen))
    expect(page.locator("[data-mode=ussd]")).to_be_visible()


def typed(page: Page, text: str) -> None:
    """Type something and press Enter; wait for the page it brings."""
    page.keyboard.type(text)
    with page.expect_response(is_hop):
        page.keyboard.press("Enter")
    expect(page.locator("[data-mode=ussd]")).to_be_visible()


def clicked(page: Page, keys: str, last: str = "green") -> None:
    """The same on the keypad."""
    for key in keys:
        page.click(f'[data-key="{key}"]')
    with page.expect_response(is_hop):
        page.click(f'[data-key="{last}"]')
    expect(page.locator("[data-mode=ussd]")).to_be_visible()


def home(page: Page, say: Callable[[Page, str], None], lang: str = "1") -> None:
    """Dial, and answer what a new phone is asked first."""
    say(page, CODE)
    for answer in (lang, "1"):
        if page.locator("#hops tr").first.locator("code").inner_text().startswith("welcome."):
            say(page, answer)
    on_screen(page, "menu.home")


def test_a_ticket_in_hindi_by_keyboard_alone(opened: Open) -> None:
    page = opened("one")
    home(page, typed)
    assert DEVANAGARI.search(page.locator("#page").inner_text())
    assert page.locator("#page").get_attribute("lang") == "hi"
    typed(page, "3")
    on_screen(page, "meter.kind")
    for _ in range(4):
        if page.locator("#answer").is_hidden():
            break
        typed(page, "1")
    expect(page.locator("#answer")).to_be_hidden()
    assert re.search(r"\b[1-9]\d{7}\b", page.locator("#page").inner_text())
    page.keyboard.press("Enter")
    expect(page.locator("[data-mode=ussd]")).to_be_hidden()


def test_a_ticket_by_mouse_alone(opened: Open) -> None:
    page = opened("several", "en")
    home(page, clicked, lang="3")
    clicked(page, "3", last="left")
    for _ in range(6):
        if page.locator("#answer").is_hidden():
            break
        clicked(page, "1", last="select")
    assert re.search(r"\b[1-9]\d{7}\b", page.locator("#page").inner_text())
    page.click('[data-key="red"]')
    expect(page.locator("[data-mode=ussd]")).to_be_hidden()


def test_a_message_is_answered_into_the_inbox(opened: Open) -> None:
    page = opened("prepaid")
    page.click("[data-sms=BIL]")
    expect(page.locator("#list button")).to_have_count(2)  # what is kept of it, and the answer
    expect(page.locator("#note")).to_have_text("नया संदेश")
    page.keyboard.press("Enter")
    expect(page.locator("#message")).to_be_visible()
    assert page.locator("#message").inner_text().strip()
    page.click('[data-key="right"]')
    expect(page.locator("#list button").first).to_be_focused()
    page.keyboard.press("Escape")
    page.click('[data-key="right"]')
    page.keyboard.type("हेल्प")
    page.keyboard.press("Enter")
    expect(page.locator("#arrived")).to_contain_text("से. में")


def test_the_last_hop_again_is_the_same_answer(opened: Open, site: Site) -> None:
    page = opened("free")
    home(page, typed)
    shown = page.locator("#page").inner_text()
    page.click("#repeat")
    expect(page.locator("#same")).to_have_text("हाँ")
    assert page.locator("#page").inner_text() == shown
    page.keyboard.press("Escape")
    page.click("[data-sms=BIL]")
    expect(page.locator("#note")).to_have_text("नया संदेश")
    page.click('[data-key="left"]')
    page.click('[data-key="right"]')
    written = site.written("free")
    page.click("#repeat")
    expect(page.locator("#same")).to_have_text("हाँ")
    assert site.written("free") == written


def test_hung_up_in_the_middle_it_goes_on(opened: Open) -> None:
    page = opened("average")
    home(page, typed)
    typed(page, "3")
    typed(page, "1")
    where = page.locator("#place").inner_text()
    page.click("#drop")
    words = page_words()["hi"]  # the message that it is unfinished may be here already
    expect(page.locator("#note")).to_have_text(re.compile(f"{words['network_session']}|{words['new_message']}"))
    page.keyboard.press("Escape")
    typed(page, CODE)
    on_screen(page, "menu.unfinished")
    typed(page, "1")
    assert page.locator("#place").inner_text() == where


def test_a_slow_carrier(opened: Open, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.carriers.phone.SLOW_MESSAGE", PATIENCE / 1000)  # until the button is pressed again
    page = opened("arrears")
    held: list[Route] = []
    page.route("**/api/dial", lambda route: held.append(route))
    try:
        page.click("#slow")
        expect(page.locator("#slow")).to_have_attribute("aria-pressed", "true")
        page.keyboard.type(CODE)
        page.keyboard.press("Enter")
        while not held:
            page.wait_for_timeout(10)
        expect(page.locator("[data-mode=wait]")).to_be_visible()
        page.keyboard.press("Escape")
        began = time.monotonic()
        with page.expect_response(is_hop):
            held[0].continue_()
        assert time.monotonic() - began >= SLOW_PAGE
        expect(page.locator("#hops tr")).to_have_count(1)
        expect(page.locator("[data-mode=idle]")).to_be_visible()  # hung up on: the late page is not shown
        page.click("[data-sms=BIL]")
        expect(page.locator("#note")).to_have_text(page_words()["hi"]["sent"])
        expect(page.locator("#arrived")).to_have_text("रास्ते में…")
        page.click("#slow")  # what was held up comes at once
        expect(page.locator("#slow")).to_have_attribute("aria-pressed", "false")
        expect(page.locator("#note")).to_have_text("नया संदेश")
    finally:
        site.post("slow", {"on": False})


def test_what_the_network_refuses(opened: Open) -> None:
    page = opened("new", "en")
    for number, said in (("*121#", "network_code"), ("1912", "network_call")):
        page.keyboard.type(number)
        page.keyboard.press("Enter")
        expect(page.locator("#note")).to_have_text(page_words()["en"][said])
        page.keyboard.press("Escape")
    page.keyboard.type("12")
    page.keyboard.press("Backspace")
    expect(page.locator("#number")).to_have_text("1")


def test_anybody_is_found_by_name(opened: Open, site: Site) -> None:
    page = opened("unlinked", "en")
    page.fill("#find", site.name)
    page.locator("#found button").first.click()
    expect(page.locator("#found")).to_be_hidden()
    assert page.locator("#who").input_value() != site.phones["unlinked"]
    page.click("#find")
    page.click('[data-key="*"]')
    page.keyboard.type("12")  # the phone was taken in hand: it is typed on
    expect(page.locator("#number")).to_have_text("*12")
    expect(page.locator("body")).to_have_attribute("data-ready", page.locator("#who").input_value())


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("lang", ["hi", "en"])
def test_axe_finds_nothing(opened: Open, site: Site, lang: str, scheme: Literal["light", "dark"]) -> None:
    page = opened("waiting", lang)
    page.emulate_media(color_scheme=scheme)
    looked = [Axe().run(page)]
    typed(page, CODE)
    looked.append(Axe().run(page))
    page.keyboard.press("Escape")
    page.click('[data-key="right"]')
    page.fill("#find", site.name)
    page.wait_for_selector("#found button")
    looked.append(Axe().run(page))
    assert [violation["id"] for one in looked for violation in one.response["violations"]] == []


@pytest.mark.parametrize(("width", "height"), [(360, 740), (640, 400)])
@pytest.mark.parametrize("lang", ["hi", "en"])
def test_on_a_small_screen(opened: Open, lang: str, width: int, height: int) -> None:
    """360 px wide, and 1280 x 800 seen at 200 %."""
    page = opened("dark", lang, width, height)
    home(page, typed)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    phone, keys = page.locator(".phone").bounding_box(), page.locator('[data-key="#"]').bounding_box()
    assert phone
    assert keys
    assert phone["x"] >= 0
    assert phone["x"] + phone["width"] <= width
    if height > width:
        assert phone["y"] + phone["height"] <= height  # the whole phone, to the last key
    assert min(keys["width"], keys["height"]) >= 36  # a thumb finds it


def test_both_languages_have_every_word(opened: Open, site: Site) -> None:
    words = page_words()
    assert all(text.strip() for lang in words.values() for text in lang.values())
    places = {key: re.findall(r"{(\w+)}", text) for key, text in words["en"].items()}
    assert places == {key: re.findall(r"{(\w+)}", text) for key, text in words["hi"].items()}
    assert {f"label_{label}" for label in site.phones} <= words["en"].keys()
    page = opened("one", "en")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    page.click("nav a[lang=hi]")
    expect(page.locator("h1")).to_have_text(words["hi"]["title"])
    page.wait_for_selector("body[data-ready]")
    page.goto(site.url)  # remembered
    expect(page.locator("html")).to_have_attribute("lang", "hi")
    page.wait_for_selector("body[data-ready]")


def test_no_other_site_reaches_it(site: Site) -> None:
    body = {"phone": "+915559999998", "code": CODE}
    assert site.post("dial", body).status_code == 200
    assert site.post("dial", body, {"host": "phone.example:80"}).status_code == 403
    assert site.post("dial", body, {"origin": "http://evil.example"}).status_code == 403
    assert site.post("dial", body, {"sec-fetch-site": "cross-site"}).status_code == 403
    page = httpx2.get(site.url, headers={"host": "phone.example"})
    assert page.status_code == 403
    assert "script-src 'self'" in page.headers["content-security-policy"]


@pytest.mark.parametrize(("path", "body", "names"), [
    ("dial", {"phone": "me", "code": CODE}, "phone"),
    ("dial", {"phone": "+915559999998", "code": "BIL"}, "code"),
    ("dial", {"phone": "+915559999998"}, "code"),
    ("answer", {"phone": "+915559999998", "session": "", "text": ""}, "text"),
    ("sms", {"phone": "+915559999998", "text": "x" * 1001}, "text"),
    ("repeat", {"phone": "+915559999997"}, "phone"),
    ("slow", {"on": "yes"}, "on"),
    ("sms", ["x" * 5000], "body"),
])  # fmt: skip
def test_bad_input_is_refused_with_one_line(site: Site, path: str, body: object, names: str) -> None:
    refused = site.post(path, body)
    assert refused.status_code == 400
    assert names in refused.text
    assert "\n" not in refused.text.strip()


def test_a_form_is_not_json(site: Site) -> None:
    assert httpx2.post(f"{site.url}api/hangup", data={"phone": "+915559999998"}).status_code == 400
    for query in ("inbox?phone=1", "inbox?phone=%2B915559999998&after=x", "strip"):
        assert httpx2.get(f"{site.url}api/{query}").status_code == 400


def test_the_picture(opened: Open, tmp_path: Path) -> None:
    """The page as it stands in the README: a Hindi conversation with something on every part of the strip."""
    page = opened("one")
    home(page, typed)
    typed(page, "6")
    for answer in ("1", "0"):
        typed(page, answer)
    picture = Path(os.environ.get("PICTURE", tmp_path / "phone-hi.png"))
    expect(page.locator(".key.down")).to_have_count(0)
    page.screenshot(path=picture)
    assert picture.stat().st_size < 200_000
