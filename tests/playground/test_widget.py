"""The notebook widget: its Python side, and its module in a browser beside a stand-in for anywidget's model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import ravine

pytest.importorskip("anywidget")

from ravine.playground.presets import PRESETS
from ravine.playground.widget import Playground


def test_it_starts_with_a_scenario_and_tells_its_recipes() -> None:
    widget = Playground()
    assert widget.link.startswith(f"preset={PRESETS[0].name}&surface=oblong_bowl")
    assert [r.rule.name for r in widget.recipes] == ["gd", "momentum", "rmsprop", "rmsprop_momentum", "adam"]
    assert widget.recipes[-1] == ravine.recipe("adam", lr=0.1, beta1=0.9, beta2=0.99)
    widget.link = "surface=rosenbrock&opt=lion,lr=0.25&t=3"
    assert widget.recipes == [ravine.recipe("lion", lr=0.25)]
    assert Playground(scenario="saddle").link.startswith("preset=saddle&")
    with pytest.raises(ValueError, match="did you mean 'saddle'"):
        Playground(scenario="sadle")


def test_it_takes_rules_of_ones_own() -> None:
    widget = Playground("weight_decay(adam)", link="surface=rosenbrock&opt=weight_decay(adam),weight_decay=0.5")
    (found,) = widget.recipes
    assert (found.rule.name, found.hyper["weight_decay"]) == ("weight_decay(adam)", 0.5)
    with pytest.raises(ValueError, match="unknown rule"):
        Playground("nothing")


MODEL = """
const traits = JSON.parse(arguments[1]), listeners = {};
window.saved = 0;
window.model = {
  get: (name) => traits[name],
  set(name, value) { traits[name] = value; },
  save_changes() { window.saved += 1; },
  on(event, listener) { (listeners[event] ??= []).push(listener); },
  fromPython(name, value) { traits[name] = value; for (const f of listeners["change:" + name] ?? []) f(); },
};
const done = arguments[arguments.length - 1];
const style = document.createElement("style");
style.textContent = arguments[2];
document.head.append(style);
const url = URL.createObjectURL(new Blob([arguments[0]], { type: "text/javascript" }));
import(url).then((module) => {
  const el = document.body.appendChild(document.createElement("div"));
  module.default.render({ model, el });
  done("rendered");
}).catch((error) => done(String(error)));
"""


def test_its_module_renders_and_shares_its_state(blank: Any, tmp_path: Path) -> None:
    widget = Playground(link="surface=rosenbrock&steps=100&opt=adam&opt=lion&t=10")
    traits = json.dumps({"link": widget.link})
    assert blank.execute_async_script(MODEL, widget._esm, traits, widget._css) == "rendered"
    assert len(blank.find_elements("css selector", ".card")) == 2
    assert blank.find_element("css selector", ".now").text == "10"
    blank.find_element("css selector", '[aria-label="One step forward"]').click()
    widget.link = blank.execute_script("return model.get('link')")
    assert widget.link.endswith("&t=11")
    assert [r.rule.name for r in widget.recipes] == ["adam", "lion"]
    assert blank.execute_script("return saved") == 1
    blank.execute_script("model.fromPython('link', 'surface=saddle&opt=gd&t=5')")
    assert len(blank.find_elements("css selector", ".card")) == 1
    assert blank.find_element("css selector", ".now").text == "5"
    assert "#" not in blank.current_url  # the notebook's own address is left alone


def test_a_link_runs_no_file_and_its_mistakes_are_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("raise AssertionError('the file was run')", encoding="utf-8")
    for field in (f"{file}:rule", f"weight_decay({file}:rule)", "adam,lr=fast", "adam,lr"):
        with pytest.raises(ValueError, match="not an optimizer of the playground"):
            _ = Playground(link=f"opt={field}").recipes
