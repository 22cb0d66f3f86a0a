"""Opens the pages of reports in a browser: their numbers are the reports', and everything on them works.

    check.py FOLDER

FOLDER holds the pages with their JSON, as the demo's `--pages` writes them. Pictures are put beside them, in light, in
dark, narrow, and of lists: tests/pages/report.png is one of them.
"""

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]
ROWS = 50

# Every text against the background behind it, and the lowest ratio of the two.
CONTRAST = """
const channel = (value) => { value /= 255; return value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4; };
const colour = (text) => text.match(/[0-9.]+/g).map(Number);
const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const ground = (element) => {
  for (; element; element = element.parentElement) {
    const [r, g, b, alpha = 1] = colour(getComputedStyle(element).backgroundColor);
    if (alpha === 1) return [r, g, b];
  }
  return [255, 255, 255];
};
let worst = [99, ''];
for (const element of document.querySelectorAll('main *')) {
  const text = [...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data.trim()).join('');
  if (!text || !element.checkVisibility() || element.disabled) continue;
  const [a, b] = [light(colour(getComputedStyle(element).color)), light(ground(element))].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  if (ratio < worst[0]) worst = [ratio, text];
}
return worst;
"""


def grouped(number):
    return f"{number:,}"


def size(number):
    if number < 1024:
        return f"{number} B"
    number /= 1024
    for unit in ["KiB", "MiB", "GiB", "TiB"]:
        if number < 1023.95:
            return f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} PiB"


class Page:
    """A page in the browser, with the report that it was made from."""

    def __init__(self, browser, folder, name, width=1240, scheme="light"):
        self.browser, self.folder = browser, folder
        self.report = json.loads((folder / f"{name}.json").read_text())
        self.repositories = [
            dict(repository, region=registry["region"])
            for registry in self.report["regions"]
            for repository in registry["repositories"]
            if "error" not in repository
        ]
        self.stale = [image for repository in self.repositories for image in repository["stale"]]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {
            "media": "screen", "features": [{"name": "prefers-color-scheme", "value": scheme}],
        })
        metrics = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        browser.get("about:blank")
        begun = time.monotonic()
        browser.get((folder / f"{name}.html").resolve().as_uri())
        self.took = time.monotonic() - begun
        errors = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
        assert not errors, errors
        fetched = browser.execute_script("return performance.getEntriesByType('resource').map((it) => it.name)")
        assert not fetched, f"the page fetches {fetched}"

    def all(self, css):
        return self.browser.find_elements(By.CSS_SELECTOR, css)

    def one(self, css):
        return self.browser.find_element(By.CSS_SELECTOR, css)

    def click(self, css):
        self.one(css).click()

    def texts(self, css):
        # All at once: thousands of round trips would take minutes.
        script = "return [...document.querySelectorAll(arguments[0])].map((it) => it.textContent)"
        return self.browser.execute_script(script, css)

    def figure(self, name):
        return self.one(f"[data-figure={name}]").text

    def status(self, tab):
        return self.one(f"#panel-{tab} [role=status]").text

    def find(self, tab, words):
        field = self.one(f"#panel-{tab} input[type=search]")
        field.clear()
        field.send_keys(words or Keys.BACKSPACE)

    def head(self, tab, title):
        for head in self.all(f"#panel-{tab} th"):
            if head.text.split(" ↑")[0].split(" ↓")[0] == title:
                return head
        raise AssertionError(f"no column {title}")

    def picture(self, name):
        scrollbars = "document.documentElement.style.scrollbarWidth = arguments[0]"
        self.browser.execute_script(scrollbars, "none")
        self.browser.save_screenshot(str(self.folder / f"{name}.png"))
        self.browser.execute_script(scrollbars, "auto")

    def contrast(self):
        ratio, text = self.browser.execute_script(CONTRAST)
        assert ratio >= 4.5, f"contrast {ratio:.2f} of {text!r}"

    def fits(self):
        wide, room = self.browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
        assert wide <= room, f"{wide} pixels in {room}"


def check_numbers(page):
    totals = page.report["totals"]
    for name in ["imagesStale", "imagesInUse", "imagesKept"]:
        assert page.figure(name) == grouped(totals[name]), name
    if page.report["dryRun"]:
        exact, at_most = totals.get("exactBytesStale"), totals["bytesStale"]
    else:
        exact, at_most = totals.get("exactBytesDeleted"), totals["bytesDeleted"]
        assert page.figure("imagesDeleted") == grouped(totals["imagesDeleted"])
    freed = size(exact) if exact is not None else f"up to {size(at_most)}"
    assert page.figure("bytesFreed") == freed, (page.figure("bytesFreed"), freed)
    saving = totals.get("exactMonthlySavingUsd", totals["monthlySavingUsd"])
    bound = "" if "exactMonthlySavingUsd" in totals else "Up to "
    assert page.figure("saving").startswith(f"{bound}${saving:,.2f} a month"), page.figure("saving")
    assert page.figure("monthlyCost") == f"${totals['monthlyCostUsd']:,.2f}"
    legend = " ".join(page.texts(".legend li"))
    assert size(totals["bytesInUse"]) in legend and size(totals["bytesKept"] - totals["bytesInUse"]) in legend, legend
    # Each row has its repository's numbers.
    rows = {}
    for row in page.browser.execute_script(
        "return [...document.querySelectorAll('#panel-repositories tr.row')].map((row) => [...row.cells].map((it) => it.innerText.trim()))"
    ):
        name, region = row[0].split("\n")[:2]
        rows[region.strip(), name.strip().lstrip("▸").strip()] = row[1:]
    for it in page.repositories:
        images, used, kept, stale, total, freed = rows[it["region"], it["repositoryName"]]
        expected = [it["images"], it["imagesInUse"], it["imagesKept"], it["imagesStale"]]
        assert [images, used, kept, stale] == [grouped(number) for number in expected], it["repositoryName"]
        assert total == size(it["bytes"])
        if page.report["dryRun"] and "exactBytesStale" in it:
            assert freed.startswith(size(it["exactBytesStale"])), freed
        elif page.report["dryRun"] and it["bytesStale"]:
            assert freed.startswith(f"up to {size(it['bytesStale'])}"), freed
    for label in page.browser.execute_script(
        "return [...document.querySelectorAll('[role=img]')].map((it) => it.getAttribute('aria-label'))"
    ):
        assert label, "a bar tells its sizes to those who can't see it"


def check_repositories(page):
    names = lambda: page.texts("#panel-repositories button.disclose")
    region_and_name = [(it["repositoryName"], it["region"]) for it in page.repositories]
    frees = {key: it.get("exactBytesStale", it["bytesStale"]) for key, it in zip(region_and_name, page.repositories)}
    regions = page.texts("#panel-repositories .sub")
    shown = [frees[key] for key in zip(names(), regions)]
    assert shown == sorted(shown, reverse=True), "what frees most comes first"

    for order, reverse in [("ascending", False), ("descending", True)]:
        page.head("repositories", "Repository").find_element(By.TAG_NAME, "button").click()
        assert page.head("repositories", "Repository").get_attribute("aria-sort") == order
        assert names() == sorted(names(), reverse=reverse), order
    page.head("repositories", "Images").find_element(By.TAG_NAME, "button").click()
    numbers = [int(text.replace(",", "")) for text in page.texts("#panel-repositories tr.row td:nth-child(2)")]
    assert numbers == sorted(numbers, reverse=True), "numbers, from the largest"

    page.find("repositories", "API search")
    expected = [it for it in page.repositories if it["repositoryName"] == "api/search"]
    assert names() == ["api/search"] * len(expected) and len(expected) == 2
    assert page.status("repositories") == f"2 of {len(page.repositories)}"
    page.one("#panel-repositories select").send_keys("us-west-2")
    assert page.texts("#panel-repositories .sub") == ["us-west-2"]
    page.find("repositories", "nothing has such a name")
    assert page.one("#panel-repositories .empty").text == "Nothing matches."
    page.find("repositories", "")
    page.one("#panel-repositories select").send_keys("all regions")
    page.click("#panel-repositories input[type=checkbox]")
    assert len(names()) == sum(it["imagesStale"] > 0 for it in page.repositories)
    page.click("#panel-repositories input[type=checkbox]")

    # The details, by the keyboard.
    page.find("repositories", "workers/billing")
    disclose = page.one("#panel-repositories button.disclose")
    disclose.send_keys(Keys.ENTER)
    assert disclose.get_attribute("aria-expanded") == "true"
    billing = next(it for it in page.repositories if it["repositoryName"] == "workers/billing")
    detail = page.one("tr.detail").text
    assert "not among the 100 newest tagged images" in detail and grouped(billing["keptBecause"]["newest"]) in detail
    assert size(billing["exactBytesStale"]) in detail and size(billing["bytesInUse"]) in detail
    page.picture("details")
    page.click("tr.detail .actions button")
    assert page.status("stale") == f"{billing['imagesStale']} of {grouped(len(page.stale))}"
    assert page.browser.switch_to.active_element.get_attribute("id") == "tab-stale"
    page.click("#panel-stale .tools button")
    assert page.status("stale") == f"{grouped(len(page.stale))} in all"
    page.click("#tab-repositories")
    disclose = page.one("#panel-repositories button.disclose")
    for key, details in [(Keys.SPACE, 1), (Keys.ENTER, 0)]:
        disclose.send_keys(key)
        assert len(page.all("#panel-repositories tr.detail")) == details
    page.find("repositories", "")


def check_stale(page):
    page.click("#tab-stale")
    pushed = page.texts("#panel-stale tr.row td:nth-child(3)")
    assert len(pushed) == ROWS and pushed == sorted(pushed), "the oldest first, a page of them"
    page.click("#panel-stale .pager button:last-child")
    assert f"{ROWS + 1} to {2 * ROWS} of {grouped(len(page.stale))}" in page.one("#panel-stale .pager").text
    page.click("#panel-stale .pager button")
    page.head("stale", "Size").find_element(By.TAG_NAME, "button").click()
    largest = max(image["imageSizeInBytes"] for image in page.stale)
    assert page.texts("#panel-stale tr.row td:nth-child(4)")[0] == size(largest)
    image = next(image for image in page.stale if "build-7" in image["imageTags"])
    page.find("stale", image["imageDigest"][7:30])
    assert page.status("stale") == f"1 of {grouped(len(page.stale))}"
    page.click("#panel-stale button.disclose")
    detail = page.one("#panel-stale tr.detail").text
    assert image["imageDigest"] in detail and image["reason"] in detail and "build-7" in detail
    page.find("stale", "child image of the stale index")
    found = sum("child image of the stale index" in image["reason"] for image in page.stale)
    assert page.status("stale") == f"{grouped(found)} of {grouped(len(page.stale))}"
    page.find("stale", "")


def check_in_use(page):
    page.click("#tab-in-use")
    held = [image for it in page.repositories for image in it.get("onlyInUse", [])]
    used = held + [image for it in page.repositories for image in it.get("alsoInUse", [])]
    assert len(used) == page.report["totals"]["imagesInUse"], "each image in use with who holds it"
    assert page.status("in-use") == f"{len(used)} in all"
    page.click("#panel-in-use input[type=checkbox]")
    assert page.status("in-use") == f"{len(held)} of {len(used)}"
    page.find("in-use", "monthly-invoices")
    page.click("#panel-in-use button.disclose")
    detail = page.one("#panel-in-use tr.detail").text
    at_risk = next(it for it in page.repositories if it.get("atRisk"))["atRisk"][0]
    assert "task-definition/monthly-invoices:1" in detail and "the image would be deleted" in detail
    assert at_risk["ruleDescription"] in detail
    page.click("#panel-in-use input[type=checkbox]")
    page.find("in-use", "")


def check_keyboard_and_names(page):
    page.click("#tab-repositories")
    for key, expected in [(Keys.ARROW_RIGHT, "stale"), (Keys.END, "warnings"), (Keys.ARROW_RIGHT, "repositories"),
                          (Keys.ARROW_LEFT, "warnings"), (Keys.HOME, "repositories")]:
        page.browser.switch_to.active_element.send_keys(key)
        selected = page.one("[role=tab][aria-selected=true]")
        assert selected.get_attribute("id") == f"tab-{expected}"
        assert page.browser.switch_to.active_element == selected
        assert page.one(f"#panel-{expected}").is_displayed()
    tree = page.browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    for node in tree:
        role = node.get("role", {}).get("value")
        if role in ("button", "searchbox", "combobox", "checkbox", "tab", "tabpanel", "img", "columnheader") and not node.get("ignored"):
            assert node.get("name", {}).get("value"), f"a {role} without a name"


def check_warnings(page):
    page.click("#tab-warnings")
    told = [f"{warning['message']} {warning['code']}" for warning in page.report["warnings"]]
    assert page.texts("#panel-warnings li") == told


def check_print(page):
    page.click("#tab-repositories")
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": []})
    assert not page.one("#tabs").is_displayed() and page.one("#panel-repositories table").is_displayed()
    assert len(page.browser.print_page()) > 10_000


def check_live(page):
    check_numbers(page)
    page.click("#tab-stale")
    page.click("#panel-stale input[type=checkbox]")
    left = [image for image in page.stale if image["result"] != "deleted"]
    assert left and page.status("stale") == f"{len(left)} of {grouped(len(page.stale))}"
    shown = " ".join(page.texts("#panel-stale tr.row"))
    failed = next(image for image in left if image["result"] == "failed")
    skipped = next(image for image in left if image["result"] == "skipped")
    assert failed["failureCode"] in shown and skipped["skippedBecause"] in shown
    assert "tools/migrations" in page.one("#notices").text and "AccessDenied" in page.one("#notices").text
    page.contrast()


def check_refused(page):
    assert page.report["outcome"] == "refused" and page.report["totals"]["imagesStale"] > 1
    assert page.one("h1").text == "Nothing was deleted"
    assert "refused" in page.one("#notices").text


def check_crowd(page):
    check_numbers(page)
    assert len(page.stale) == 100_000
    page.click("#tab-stale")
    assert len(page.all("#panel-stale tr.row")) == ROWS, "only a page of them is in the document"
    assert "</script><img src=x onerror" in page.texts("#panel-stale tr.row td")[0], "what looks like markup is text"
    assert not page.all("img") and page.browser.title != "taken"
    begun = time.monotonic()
    page.find("stale", "build-7-1234")
    assert page.status("stale") == "1 of 100,000"
    page.head("stale", "Image").find_element(By.TAG_NAME, "button").click()
    print(f"100,000 images: opened in {page.took:.1f} s, found and sorted in {time.monotonic() - begun:.1f} s")


def write_variant(folder, name, of, change):
    """A page of another report, changed."""
    text = (folder / f"{of}.json").read_text()
    page = (folder / f"{of}.html").read_text()
    escaped = lambda json: json.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    assert escaped(text) in page
    report = json.loads(text)
    change(report)
    changed = json.dumps(report, separators=(",", ":"))
    (folder / f"{name}.json").write_text(changed)
    (folder / f"{name}.html").write_text(page.replace(escaped(text), escaped(changed)))


def every_stale_image(report):
    return [it for region in report["regions"] for listed in region["repositories"] for it in listed.get("stale", [])]


def set_results(report, **counts):
    """The totals of a live run in which these numbers of images have these results, and no other image has one."""
    for name in ["Deleted", "Archived", "Failed", "Skipped", "NotAttempted", "NotAllowed"]:
        report["totals"][f"images{name}"] = counts.get(name, 0)


def refuse_eight(report):
    """ECR refuses eight of the deletes, since an index lists the images: no total counts them."""
    stale = every_stale_image(report)
    for image in stale:
        image["result"] = "deleted"
    for image in stale[:8]:
        image["result"] = "kept"
    set_results(report, Deleted=len(stale) - 8)


def check_refused_deletes(page):
    assert "8 remain" in page.one("#summary").text and "nothing left" not in page.one("#summary").text


def archive_all(report):
    stale = every_stale_image(report)
    for image in stale:
        image.update(result="archived", action="archive")
    set_results(report, Archived=len(stale))
    report["totals"].update(imagesToArchive=len(stale), bytesToArchive=report["totals"]["bytesStale"], bytesStale=0,
                            bytesDeleted=0)


def check_archived(page):
    all_of_them = grouped(len(page.stale))
    assert page.one("h1").text == f"{all_of_them} of {all_of_them} images archived"
    assert "to be archived" not in page.one("#summary").text


def multiply_repositories(report):
    """More repositories than a browser takes arguments, and than ECR gives a region."""
    repositories = report["regions"][0]["repositories"]
    clean = dict(repositories[0], stale=[], imagesStale=0, bytesStale=0, onlyInUse=[], atRisk=[])
    repositories += [dict(clean, repositoryName=f"team-{number}/service") for number in range(130_000)]


def check_many_repositories(page):
    assert len(page.repositories) > 130_000
    page.find("repositories", "team-129999/")
    assert page.status("repositories").startswith("1 of 130,"), page.status("repositories")
    print(f"130,000 repositories: opened in {page.took:.1f} s")


def lose_an_image(report):
    """Something that runs is not there any more."""
    repository = report["regions"][0]["repositories"][0]
    repository["missing"] = [{"imageTag": "v9", "because": "notFound", "usedBy": "ECS task night-shift"}]


def check_missing(page):
    told = f"{page.repositories[0]['region']} {page.repositories[0]['repositoryName']}:v9: doesn't exist, used by ECS task night-shift"
    assert told in page.one("#notices").text, page.one("#notices").text


def check_settings(page):
    settings = page.report["settings"]
    given = sum(setting["from"] != "default" for setting in settings.values())
    assert page.one("#settings summary").text == f"Settings: {given} given, the others by default"
    page.click("#settings summary")
    assert page.texts("#settings dt") == list(settings)
    page.contrast()
    page.click("#settings summary")


def main(folder):
    options = Options()
    options.binary_location = shutil.which("chromium") or sys.exit("there is no chromium")
    profile = tempfile.TemporaryDirectory()
    for flag in [*FLAGS, f"--user-data-dir={profile.name}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options, Service(shutil.which("chromedriver") or sys.exit("there is no chromedriver")))
    try:
        for scheme in ["light", "dark"]:
            page = Page(browser, folder, "company", scheme=scheme)
            page.contrast()
            page.fits()
            page.picture(scheme)
            for tab in ["stale", "in-use", "warnings"]:
                page.click(f"#tab-{tab}")
                page.contrast()
                page.picture(f"{scheme}-{tab}")
        for width in [360, 400, 800]:
            page = Page(browser, folder, "company", width=width)
            page.fits()
            page.picture(f"narrow-{width}")
            for tab in ["stale", "in-use"]:
                page.click(f"#tab-{tab}")
                page.fits()
                inside = "const it = document.querySelector(arguments[0]); return it.scrollWidth <= it.clientWidth"
                assert browser.execute_script(inside, f"#panel-{tab} .scroll"), f"{tab} at {width}"
                page.picture(f"narrow-{width}-{tab}")
        page = Page(browser, folder, "company")
        for check in [check_numbers, check_repositories, check_stale, check_in_use, check_keyboard_and_names,
                      check_warnings, check_settings, check_print]:
            check(page)
        check_live(Page(browser, folder, "live"))
        page.picture("live")
        check_refused(Page(browser, folder, "refused"))
        check_crowd(Page(browser, folder, "crowd"))
        for name, of, change, check in [
            ("many", "company", multiply_repositories, check_many_repositories),
            ("refused-deletes", "live", refuse_eight, check_refused_deletes),
            ("archived", "live", archive_all, check_archived),
            ("missing", "company", lose_an_image, check_missing),
        ]:
            write_variant(folder, name, of, change)
            check(Page(browser, folder, name))
    finally:
        browser.quit()
        profile.cleanup()
    print(f"the pages are as their reports; pictures are in {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
