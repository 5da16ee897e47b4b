// How each optimizer is called and drawn.

import { PALETTE } from "./generated.js";
import { ruleNamed } from "./state.js";

// For each optimizer its title, a note on the knobs in which it differs from others of its rule, a colour and a dash.
export function looks(optimizers, dark) {
  const chosen = marks(optimizers);
  return optimizers.map(({ rule: name, hyper }, k) => {
    const rule = ruleNamed(name);
    const twins = optimizers.filter((o) => o.rule === name);
    const differing = rule.hyper.filter((_, j) => twins.some((twin) => twin.hyper[j] !== hyper[j]));
    const note = differing.map((knob) => `${knob.name} ${hyper[rule.hyper.indexOf(knob)]}`).join(", ");
    const { color, dash } = chosen[k];
    return { title: rule.title, note, color: dark ? PALETTE.dark[color] : color, dash };
  });
}

// A colour and a dash for each, no two alike. The first of a rule has the rule's own; others take what is left over.
function marks(optimizers) {
  const result = new Map();
  const free = (mark) => [...result.values()].every((m) => m.color !== mark.color || !same(m.dash, mark.dash));
  optimizers.forEach(({ rule }, k) => {
    const { color, dash } = ruleNamed(rule);
    if (free({ color, dash })) result.set(k, { color, dash });
  });
  const all = PALETTE.dashes.flatMap((dash) => Object.keys(PALETTE.dark).map((color) => ({ color, dash })));
  optimizers.forEach((_, k) => {
    if (!result.has(k)) result.set(k, rarest(all.filter(free), [...result.values()]));
  });
  return optimizers.map((_, k) => result.get(k));
}

// The dash that fewest of those in use have, for eyes to which colours look alike; of those marks the rarest colour.
function rarest(marks, used) {
  const dashes = (mark) => used.filter((m) => same(m.dash, mark.dash)).length;
  const colors = (mark) => used.filter((m) => m.color === mark.color).length;
  return marks.reduce((best, mark) => ((dashes(mark) - dashes(best) || colors(mark) - colors(best)) < 0 ? mark : best));
}

const same = (a, b) => String(a) === String(b);
