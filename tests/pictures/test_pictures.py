"""Interactive pictures: what they hold, in Python; what they show and how they are worked, in Chromium."""
import shutil

import numpy as np
import pytest

from tinytorch import Tensor, nn, pictures
from tinytorch.nn import functional as F
from tinytorch.pictures.page import FOLDER, table

HOSTILE = '</script><img src=x onerror="window.broken=1">\'&'
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
         "--window-size=900,1100"]


def leaves():
    weight = Tensor(np.array([[0.5], [-1.0], [0.25]]), requires_grad=True)
    bias = Tensor(np.array([0.125]), requires_grad=True)
    return weight, bias


def compute(weight, bias):
    inputs = Tensor(np.arange(6.0).reshape(2, 3))
    return ((inputs @ weight + bias).tanh() + weight.square().sum()).mean()


def picture(**options):
    weight, bias = leaves()
    return pictures.graph(lambda: compute(weight, bias), weight=weight, bias=bias, **options)


def node(shown, word):
    return next(node for node in shown.data["nodes"] if node["label"].startswith(word))


def sum_of(shown, word):
    "The last sum of gradients that a node has been handed."
    wanted = node(shown, word)["id"]
    return [total for step in shown.data["steps"] for to, _, total in step["given"] if to == wanted][-1]


def test_numbers_of_a_graph_are_those_of_the_library():
    weight, bias = leaves()
    weight.grad = Tensor(np.array([[1.0], [2.0], [3.0]]))
    shown = pictures.graph(lambda: compute(weight, bias), weight=weight, bias=bias)
    assert weight.grad.tolist() == [[1], [2], [3]] and bias.grad is None, "no grad has changed"
    weight.grad = None
    loss = compute(weight, bias)
    loss.backward()
    assert node(shown, "Mean")["value"] == table(loss.data)
    assert sum_of(shown, "weight") == table(weight.grad.data), "used twice: the sum of both"
    assert sum_of(shown, "bias") == table(bias.grad.data)
    assert "def backward" in node(shown, "Tanh")["code"] and len(shown.data["steps"]) == 7


def test_a_tensor_shows_its_graph_and_can_run_backward_afterwards():
    weight, bias = leaves()
    loss = compute(weight, bias)
    shown = pictures.graph(loss, weight=weight)
    assert node(shown, "Tanh")["value"] is None and node(shown, "weight")["value"], "only leaves hold their numbers"
    loss.backward()
    assert table(weight.grad.data) == sum_of(shown, "weight")


def test_pages_ask_for_nothing_and_cannot_be_broken_by_names():
    shown = pictures.attention(np.ones((1, 2, 2)) / 2, [HOSTILE, "b"])
    assert "<img" not in shown.html and shown.html.count("</script>") == 2
    assert "<img" not in shown._repr_html_() and 'sandbox="allow-scripts"' in shown._repr_html_()
    for page in FOLDER.iterdir():
        text = page.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "http" not in text.replace("http-equiv", "") and "innerHTML" not in text, page.name


@pytest.mark.parametrize("call, word", [
    (lambda: pictures.graph(Tensor([1.0, 2.0], requires_grad=True) * 2), "one number"),
    (lambda: pictures.graph(Tensor([1.0], requires_grad=True)), "no graph"),
    (lambda: pictures.graph(sum(Tensor([1.0], requires_grad=True) for _ in range(210))), "at most 200"),
    (lambda: pictures.attention(np.ones((2, 3, 4)), "abc"), "expected"),
    (lambda: pictures.attention(np.full((1, 1, 1), np.nan), "a"), "nan"),
    (lambda: pictures.attention(np.ones((1, 65, 65)), ["x"] * 65), "at most 64"),
    (lambda: pictures.temperature([[1.0]]), "expected"), (lambda: pictures.temperature([np.inf]), "finite"),
    (lambda: pictures.line([1, 2], [1]), "same"),
    (lambda: pictures.attention(np.ones((1, 1, 1)), ["x" * 3_000_000]), "bytes"),
])
def test_what_cannot_be_shown_is_refused(call, word):
    with pytest.raises(ValueError, match=word):
        call()


@pytest.fixture(scope="module")
def driver():
    webdriver = pytest.importorskip("selenium.webdriver", reason="pictures in a browser need the extra 'browser'")
    if not (CHROMIUM and DRIVER):
        pytest.skip("pictures in a browser need Chromium and its driver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def opened(driver, tmp_path):
    "Opens a picture as a notebook shows it, inside its frame; afterwards no error may be in the console."
    def show(shown):
        page = tmp_path / "page.html"
        page.write_text(f"<!doctype html><meta charset='utf-8'><body>{shown._repr_html_()}")
        driver.get(page.as_uri())
        driver.switch_to.frame(0)
        return driver
    yield show
    assert not driver.get_log("browser")


def text(driver, selector):
    return driver.find_element("css selector", selector).text


def keys(driver, *pressed):
    from selenium.webdriver import ActionChains
    ActionChains(driver).send_keys(*pressed).perform()


def waited(driver, it_is):
    from selenium.webdriver.support.ui import WebDriverWait
    WebDriverWait(driver, 30, 0.05).until(lambda _: it_is())


def test_the_graph_is_walked_with_the_keyboard_alone(opened):
    from selenium.webdriver import Keys
    shown = picture(stepping=True)
    driver = opened(shown)
    assert "step 0 of 7" in text(driver, ".said")
    keys(driver, Keys.TAB)  # the first button that can be pressed is the next step
    waited(driver, lambda: driver.switch_to.active_element.tag_name == "button")
    keys(driver, Keys.ENTER)
    waited(driver, lambda: "step 1 of 7: Mean () hands on 0.5; 0.5 to Add (2, 1)" in text(driver, ".said"))
    keys(driver, *[Keys.ENTER] * 5)
    waited(driver, lambda: "step 6 of 7" in text(driver, ".said"))
    driver.find_element("id", "end").click()
    driver.find_element("css selector", ".node[tabindex='0']").send_keys(Keys.HOME)
    assert driver.switch_to.active_element.get_attribute("data-id") == "0"
    while not driver.switch_to.active_element.get_attribute("aria-label").startswith("weight"):
        keys(driver, Keys.ARROW_DOWN)
    cells = [cell.text for cell in driver.find_elements("css selector", "section[aria-label=Gradient] td")]
    assert cells == [row[0] for row in sum_of(shown, "weight")["rows"]]
    while not driver.switch_to.active_element.get_attribute("aria-label").startswith("Tanh"):
        keys(driver, Keys.ARROW_DOWN)
    keys(driver, Keys.ENTER)
    assert "class Tanh(Function)" in text(driver, "pre")
    assert driver.switch_to.active_element.get_attribute("aria-expanded") == "true"


def test_the_pointer_shows_a_node(opened):
    from selenium.webdriver import ActionChains
    driver = opened(picture())
    tanh = driver.find_element("css selector", ".node[aria-label^=Tanh]")
    ActionChains(driver).move_to_element(tanh).perform()
    assert text(driver, "#name") == "Tanh (2, 1)" and not driver.find_element("css selector", "pre").is_displayed()
    tanh.click()
    assert driver.find_element("css selector", "pre").is_displayed()


def test_attention_answers_to_heads_tokens_and_keys(opened):
    from selenium.webdriver import ActionChains, Keys
    layer = nn.MultiHeadAttention(8, 2)
    tokens = [HOSTILE, "b", "c"]
    weights = layer.weights(Tensor(np.random.default_rng(0).normal(size=(1, 3, 8))), is_causal=True)[0]
    driver = opened(pictures.attention([weights, weights[:1]], tokens))
    driver.find_element("css selector", "button[aria-label='Head 1']").click()
    row = driver.find_elements("css selector", "tbody tr")[2]
    ActionChains(driver).move_to_element(row.find_elements("css selector", "td")[1]).perform()
    assert f"head 1: c (place 2) takes {weights.data[1, 2, 1]:.3f} from b" in text(driver, ".said")
    row.find_elements("css selector", "td")[1].click()
    keys(driver, Keys.ARROW_LEFT, Keys.ARROW_UP)
    assert f"b (place 1) takes {weights.data[1, 1, 0]:.3f} from {HOSTILE}" in text(driver, ".said")
    driver.find_element("css selector", "button[aria-label='Layer 1']").click()
    assert "layer 1, head 0" in text(driver, ".said"), "a layer with fewer heads"
    assert not driver.execute_script("return window.broken")


def test_the_temperature_moves_with_the_arrows(opened):
    from selenium.webdriver import Keys
    logits = [2.0, 1.0, -1.0]
    driver = opened(pictures.temperature(logits, ["a", HOSTILE, "c"]))
    knob = driver.find_element("css selector", "input")
    for moved, stop in [([], 1.0), ([Keys.HOME], 0.1), ([Keys.END], 10.0), ([Keys.ARROW_LEFT], 8.913)]:
        knob.send_keys(*moved)
        shares = [float(share.text) for share in driver.find_elements("css selector", ".share")]
        np.testing.assert_allclose(shares, F.softmax(Tensor(logits) / stop, dim=-1).data, atol=6e-5)
        assert f"temperature {stop:g}" in text(driver, ".said")


def test_a_line_descends_as_the_library_does(opened):
    x, y = [0.0, 1.0, 2.0, 3.0], [1.0, 3.0, 5.0, 6.5]
    driver = opened(pictures.line(x, y, lr=0.05))
    weight, bias = Tensor(0.0, requires_grad=True), Tensor(0.0, requires_grad=True)
    for _step in range(3):
        loss = ((weight * Tensor(x) + bias - Tensor(y)) ** 2).mean()
        weight.grad = bias.grad = None
        loss.backward()
        words = text(driver, ".said").replace(",", "").split()
        found = [float(words[i]) for i in (1, 6, 10)]
        np.testing.assert_allclose(found, [loss.item(), weight.grad.item(), bias.grad.item()], atol=2e-4)
        weight = Tensor(weight.item() - 0.05 * weight.grad.item(), requires_grad=True)
        bias = Tensor(bias.item() - 0.05 * bias.grad.item(), requires_grad=True)
        driver.find_element("id", "descend").click()
    knob = driver.find_element("css selector", "input[aria-label=Weight]")
    before = text(driver, ".said")
    knob.send_keys("\ue012")  # arrow left
    assert text(driver, ".said") != before


def test_no_picture_is_wider_than_a_phone(driver, opened):
    driver.set_window_size(500, 900)
    for shown in (picture(), pictures.attention(np.ones((2, 30, 30)) / 30, ["word"] * 30),
                  pictures.temperature([1.0, 2.0]), pictures.line([0, 1], [1, 2])):
        opened(shown)
        wide, room = driver.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
        assert wide <= room, shown.kind
