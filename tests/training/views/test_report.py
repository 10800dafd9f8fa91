"""`report.html`: complete, self-contained, and with escaped names."""

import re
import shutil
import subprocess
from html.parser import HTMLParser

import jax
import numpy as np
import pytest

from jconv import sequential
from jconv.layers import Conv1D, Dense, GlobalAveragePooling1D
from training import tasks
from training.core.learner import Row
from training.core.plan import Plan
from training.data import datasets
from training.run import outcome, run_folder
from training.run import page as page_of_run
from training.tasks import metrics
from training.views import curves, html_page
from training.views.report import Result

BAD = "<script>alert('1')</script> & \"x\""
PLAN = Plan(epochs=4, batch_size=10, learning_rate=1e-3, seed=0, evaluate_every=1)
ROWS = [Row(1, 1e-3, 0.7, 0.5, None, None), Row(2, 1e-3, 0.4, 0.75, 0.65, 0.55), Row(3, 0.0, 0.5, 0.7, 0.6, 0.6)]
VOID = {"meta", "link", "img"}
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class _Reader(HTMLParser):
    """Reads the content of a page; fails if tags are not closed in order."""

    def __init__(self, page):
        super().__init__()
        self.open, self.seen, self.text = [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def task():
    gunpoint = tasks.classification(datasets.load("gunpoint"))
    model = sequential([Conv1D(2, 5), GlobalAveragePooling1D(), Dense(2)])
    return gunpoint._replace(model=model, classes=(BAD, "point"))


@pytest.fixture
def folder(tmp_path, task):
    """A run folder made without training: results and one picture."""
    config = {"data": f"{BAD}.csv", "model": "fcn", "epochs": 4, "options": {"seed": 0, "loss": None, "x64": False}}
    config |= {"hardware": "a processor", "cores": 2, "platform": "cpu", "versions": {"jax": "0.0<1"}}
    config |= {
        "batch_size": 10,
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "schedule": "cosine",
        "keep": "last",
        "seed": 0,
    }
    counts = {"training": 40, "validation": 10, "test": 150}
    config |= {"fingerprints": {"data": "ab12", "model": None}, "series": counts, "xla_flags": "--xla_cpu_x=1"}
    config |= {"series_shape": [150, 1], "channel_mean": [0.5], "channel_deviation": [2.0]}
    run_folder.begin(tmp_path, config)
    run_folder.write_params(tmp_path, *task.model.init(jax.random.key(0), (150, 1)))
    labels, guesses = np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0])
    scores = tuple(metrics.class_scores(labels, guesses, np.array([0, 1]), task.classes))
    certain = metrics.calibration(np.array([[0.75, 0.25]] * 4), labels)
    found = {
        "training": Result(0.5, 0.75, np.zeros(1), classes=scores, calibration=certain),
        "test": Result(float("nan"), 0.625, np.zeros(1), classes=scores, calibration=certain),
    }
    worst = {"of": "loss", "deviation": 3e-14}
    results = outcome.outcome(tmp_path, "interrupted", task, PLAN, ROWS, found, worst, {"training": 1.25}, 1)
    results |= {"command": "python -m training.fit --epochs 4", "given": {"--epochs": "4", "--x64": True}}
    run_folder.write_json(tmp_path, run_folder.RESULTS, results | {"date": "2026-11-30T12:00:00+00:00"})
    run_folder.write(tmp_path, run_folder.CURVES, curves.learning_curves(ROWS, task))
    return tmp_path


def test_the_page_is_complete_and_describes_the_run(folder, task):
    page = page_of_run.page(folder, task)
    read = _Reader(page)
    text = " ".join(" ".join(read.text).split())
    convolution = task.model.nodes[0].layer.flops((150, 1))
    flops = sum(int(words.split()[1].replace(",", "")) for words in task.model.summary((150, 1)).splitlines()[-1:])
    for words in (
        f"fcn on {BAD}.csv",
        f"2: {BAD}, point",
        "interrupted, 3 of 4 epochs, 1.2 seconds, 2026-11-30T12:00:00+00:00",
        "Command python -m training.fit --epochs 4",
        "up to 4 epochs, batches of 10, adam at 0.001, cosine schedule, last params kept, seed 0",
        "parameters and state 18",
        f"FLOPs {flops:,} for one series, forward",
        "40 training, 10 validation and 150 test, of 150 samples and 1 channel",
        "loss 0.5000 nan accuracy 0.7500 0.6250",
        "worst relative deviation 3.0e-14 (loss)",
        "lowest in epoch 2",
        "after epoch 1, where the run was resumed",
        "Misclassified series None.",
        "expected calibration error 0.0000 0.0000",
        f"test set count precision recall F1 F1 by chance {BAD} 3 0.750 1.000 0.857 0.600 point 1 – 0.000 0.000 0.333",
        "mean of the classes 4 0.750 0.500 0.429 0.467",
        f"conv1d Conv1D(2, 5) input (146, 2) 12 {convolution:,} global",
        "dense Dense(2) global_average_pooling1d (2,) 6",
        "Options that were given --epochs 4 --x64 yes Hardware",
        "hardware a processor cores 2 platform cpu XLA_FLAGS --xla_cpu_x=1 jax 0.0<1",
    ):
        assert words in text, words


def test_the_page_is_self_contained_and_names_are_escaped(folder, task):
    read = _Reader(page_of_run.page(folder, task))
    tags = {tag for tag, _ in read.seen}
    assert not tags & {"script", "iframe", "object", "form", "b", "a"}
    links = [value for _, own in read.seen for name, value in own.items() if name in ("src", "href")]
    assert len(links) == 2 and all(link.startswith("data:") for link in links)
    policy = [own["content"] for tag, own in read.seen if own.get("http-equiv") == "Content-Security-Policy"]
    assert policy == [html_page.POLICY] and "default-src 'none'" in policy[0]
    assert "http" not in html_page.STYLE and "url(" not in html_page.STYLE


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here")
def test_a_browser_reports_no_error(folder, task, tmp_path):
    page = page_of_run.page(folder, task)

    def console(name, content):
        path = tmp_path / name
        path.write_text(content)
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
        command = [BROWSER, *options, f"--user-data-dir={tmp_path / 'profile'}", path.as_uri()]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert "<h2>Curves</h2>" in ran.stdout
        return [line for line in ran.stderr.splitlines() if "CONSOLE" in line]

    assert console("report.html", page) == []
    # The browser reports what the policy forbids.
    assert "Content Security Policy" in console("other.html", page.replace("</h2>", "</h2><script>1</script>", 1))[0]


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here")
def test_nothing_is_hidden_on_a_phone(folder, task, tmp_path):
    """At 420 pixels no element is wider than the page, and none scrolls sideways."""
    (tmp_path / "report.html").write_text(page_of_run.page(folder, task))
    script = """onload = () => {
        const page = document.querySelector("iframe").contentDocument
        const wide = [...page.querySelectorAll("body *")].filter(
            e => e.getBoundingClientRect().right > page.documentElement.clientWidth + 1 ||
            (e.clientWidth && e.scrollWidth > e.clientWidth + 1))
        document.querySelector("p").textContent =
            `${page.querySelectorAll("td").length} cells, wide: ${wide.map(e => e.outerHTML)}.`
    }"""
    frame = '<iframe src="report.html" style="width: 420px; height: 900px; border: 0"></iframe>'
    (tmp_path / "frame.html").write_text(f"{frame}<p></p><script>{script}</script>")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--dump-dom"]
    profile, address = f"--user-data-dir={tmp_path / 'profile'}", (tmp_path / "frame.html").as_uri()
    ran = subprocess.run([BROWSER, *options, profile, address], capture_output=True, text=True, timeout=60)
    found = re.search(r"<p>(\d+) cells, wide: \.</p>", ran.stdout)
    assert found and int(found[1]) > 40, ran.stdout


def test_words_of_a_command_and_shapes_are_not_broken(folder, task):
    """Otherwise a line could end with `--`, and the next one begin with `validation`."""
    page = page_of_run.page(folder, task)
    assert '<span class="word">--epochs</span> <span class="word">4</span></pre>' in page
    assert '<td class="nowrap" data-head="output">(146, 2)</td>' in page


def test_a_picture_has_a_text_alternative(folder):
    content = (folder / run_folder.CURVES).read_bytes()
    read = _Reader(html_page.picture(content, 'a "wide" one'))
    assert [tag for tag, _ in read.seen] == ["figure", "img", "figcaption"]
    assert dict(read.seen)["img"]["alt"] == 'a "wide" one'


def test_a_section_without_anything_is_left_out():
    page = html_page.page("t", "u", [("empty", ""), ("full", html_page.line("<"))])
    assert "empty" not in page and "<h2>full</h2>\n<p>&lt;</p>" in page
    assert html_page.facts({}) == ""
