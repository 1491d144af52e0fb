// The review page: what is shown, what keys do, and verdicts.
import { List } from "./list.js";
import { News } from "./news.js";
import { Player } from "./player.js";
import { Outbox, ask } from "./server.js";
import { agreementLines, element, key } from "./text.js";

const find = (id) => document.getElementById(id);
const audit = document.body.dataset.audit === "yes";
const about = await ask("/api/about");
const LABEL_KEYS = "1234567890-=";
const CLUES = { face: "expressions at the peak", scene: "scene", tone: "tone", subtitle: "subtitle", text: "fine-grained text" };
const JUDGED = { y: "right", x: "wrong", c: "unclear" };
const FIELDS = { subtitle: "subtitle", fine: "text", note: "note" };
const FILTERS = ["text", "mine", "label", "standing", "outcome", "people", "sort"];
let reviewer = localStorage.getItem("merrflow-reviewer") || document.body.dataset.reviewer;
if (document.body.dataset.reviewer) reviewer = document.body.dataset.reviewer;
let clip = null; // as the server gave it
let wanted = null; // the id of the clip that was asked for last: another than the clip's while it loads
let draft = null; // what a verdict would say
let clues = null; // in an audit, after the label: what was judged so far
let version = -1; // of what everybody said
const drafts = new Map(); // of clips that were left with changes
const history = []; // ids that this reviewer judged

const player = new Player(find);
const list = new List(find("list"), find("room"), (row) => row && open(row.id));
const outbox = new Outbox(
  (waiting, away) => {
    find("saved").textContent = !waiting ? "saved" : away ? `${waiting} not saved: the server is away, trying again` : "saving …";
    find("saved").className = away ? "away" : "";
  },
  () => showProgress(),
  (message, item) => {
    say(message);
    list.mark(item.path.split("/")[3], { mine: null });
    if (clip && item.path.includes(clip.id)) open(clip.id);
  },
);
window.merrflow = { waiting: () => outbox.waiting.length };

async function open(id) {
  keepDraft();
  wanted = id;
  let found;
  try {
    found = await ask(`/api/clips/${id}`, { reviewer, blind: find("blind").checked });
  } catch (error) {
    return say(error.message);
  }
  if (wanted !== id) return; // answers come in any order
  const same = clip?.id === id;
  clip = found;
  const { mine } = clip;
  draft = drafts.get(id) || { peak: mine?.peak ?? null, subtitle: mine?.subtitle ?? null, text: mine?.text ?? null, note: mine?.note ?? "" };
  clues = audit && mine && mine.kind === "keep" ? { ...mine.clues } : null;
  if (!same) player.show(clip, draft.peak ?? clip.peak.index);
  player.clip = clip;
  show();
}

function keepDraft() {
  if (clip && draft?.dirty) drafts.set(clip.id, draft);
}

function show() {
  const { mine, covered } = clip;
  find("name").textContent = clip.name;
  find("told").hidden = covered;
  find("accept").disabled = covered || audit;
  find("set-peak").hidden = audit;
  for (const id of ["subtitle", "fine"]) find(id).readOnly = audit;
  find("subtitle").value = draft.subtitle ?? clip.subtitle;
  find("fine").value = draft.text ?? clip.fine ?? "";
  find("note").value = draft.note;
  find("subtitle-source").textContent = [clip.subtitle_source, clip.translation && `in English: ${clip.translation}`].filter(Boolean).join("; ");
  find("fine-note").textContent = covered || clip.outcome === "done" ? "" : [clip.outcome, clip.why].filter(Boolean).join(": ");
  find("verdict").textContent = verdictText();
  find("verdict").className = covered ? "covered" : "";
  find("labels").replaceChildren(
    ...about.labels.map((label, place) => {
      const button = document.createElement("button");
      button.append(label, " ");
      if (LABEL_KEYS[place]) button.append(key(LABEL_KEYS[place]));
      button.dataset.label = label;
      button.setAttribute("aria-pressed", mine?.kind === "keep" && mine.label === label);
      if (!covered && label === clip.label) button.classList.add("record");
      button.addEventListener("click", () => verdict("keep", label));
      return button;
    }),
  );
  facts();
  showClues();
}

function verdictText() {
  if (clip.covered) return "Blind: say your label, then you see the record's.";
  const mine = clip.mine && (clip.mine.kind === "reject" ? "You rejected it." : `You said ${clip.mine.label}.`);
  const moved = draft.peak === null || draft.peak === clip.peak.index ? "" : `Peak moved to frame ${draft.peak}.`;
  return [mine, `The record says ${clip.label}${clip.standing ? `, ${clip.standing}` : ""}.`, moved, draft.dirty ? "Changed, not saved: accept to save." : ""].filter(Boolean).join(" ");
}

function facts() {
  const rows = clip.covered ? [] : [
    ["why", clip.reason], ["face", clip.expressions.join(", ")], ["witnesses", clip.votes.join("\n")], ["scene", clip.scene],
    ["tone", clip.tone], ["coarse", clip.coarse], ["peak", clip.peak_reason],
    ...Object.entries(clip.views).map(([view, top]) => [`model, ${view}`, top.map(([label, share]) => `${label} ${Math.round(100 * share)} %`).join(", ")]),
    ...clip.others.map((one) => [one.reviewer, [one.kind === "reject" ? "rejected" : one.label, one.note, one.source && `in ${one.source.tool}`].filter(Boolean).join(": ")]),
  ];
  find("facts").replaceChildren(...rows.filter(([, text]) => text).flatMap(([name, text]) => [element("dt", name), element("dd", text)]));
}

function showClues() {
  find("clues").hidden = !clues;
  if (!clues) return;
  const current = Object.keys(asked()).find((name) => !(name in clues));
  find("clues").replaceChildren(
    element("h3", "Is each clue right?"),
    ...Object.entries(asked()).map(([name, text]) => {
      const row = element("div", "", `clue${name === current ? " current" : ""}`);
      row.append(element("b", CLUES[name]), element("p", text));
      for (const [letter, value] of Object.entries(JUDGED)) {
        const button = element("button", `${value} `);
        button.append(key(letter));
        button.setAttribute("aria-pressed", clues[name] === value);
        button.addEventListener("click", () => judge(value, name));
        row.append(button);
      }
      return row;
    }),
  );
}

function asked() {
  const texts = { face: clip.expressions.join(", "), scene: clip.scene, tone: clip.tone, subtitle: clip.subtitle, text: clip.outcome === "done" ? clip.fine : "" };
  return Object.fromEntries(Object.entries(texts).filter(([, text]) => text));
}

function judge(value, name = Object.keys(asked()).find((one) => !(one in clues))) {
  if (!clues || !name) return;
  clues[name] = value;
  const complete = Object.keys(asked()).every((one) => one in clues);
  if (complete) return verdict("keep", clip.mine.label, { clues, blind: clip.mine.blind });
  showClues();
}

function verdict(kind, label = "", more = {}) {
  if (!clip || !reviewer) return;
  if (wanted !== clip.id) return open(wanted); // the next clip is still to come: this verdict would be for the one before it
  if (kind === "keep" && !label) return say("Say a label first.");
  const said = { label, peak: draft.peak, subtitle: draft.subtitle, text: draft.text, note: draft.note, blind: clip.covered || Boolean(clip.mine?.blind), ...more };
  outbox.add(`/api/clips/${clip.id}/verdict`, { reviewer, kind, sha256: clip.sha256, said });
  draft.dirty = false;
  drafts.delete(clip.id);
  history.push(clip.id);
  const row = { mine: kind === "reject" ? "(rejected)" : label };
  const { id, covered } = clip;
  list.mark(id, row);
  if (!covered || kind === "reject") return list.select(list.selected + 1);
  committed().then(() => wanted === id && open(id)); // and now the record's label is shown
}

async function committed() {
  while (outbox.waiting.length) await new Promise((resolve) => setTimeout(resolve, 50));
}

async function undo() {
  const id = history.pop() || (clip?.mine ? clip.id : null);
  if (!id) return say("There is nothing to undo.");
  outbox.add(`/api/clips/${id}/undo`, { reviewer });
  await committed();
  list.mark(id, { mine: null });
  drafts.delete(id);
  if (draft) draft.dirty = false;
  clip = clip?.id === id ? { id } : clip;
  const place = list.indexOf(id);
  place >= 0 ? list.select(place) : open(id);
}

function setPeak() {
  if (audit || !clip) return;
  Object.assign(draft, { peak: player.frame, dirty: true });
  player.peak = draft.peak;
  player.draw();
  find("verdict").textContent = verdictText();
}

async function showProgress() {
  if (!reviewer) return;
  const found = await ask("/api/progress", { reviewer }).catch(() => null);
  if (!found) return;
  find("progress").textContent = `${found.mine} of ${found.total} by you, ${found.clips} by anyone`;
  if (version >= 0 && found.version > version && clip && !clip.covered && !draft?.dirty && !outbox.waiting.length && clip.id) {
    const fresh = await ask(`/api/clips/${clip.id}`, { reviewer, blind: find("blind").checked }).catch(() => null);
    if (fresh && fresh.id === clip.id) { clip.others = fresh.others; facts(); }
  }
  version = found.version;
  return found;
}

function refresh() {
  const values = Object.fromEntries(FILTERS.map((id) => [id, find(id).value]));
  const started = performance.now();
  document.body.classList.toggle("is-blind", find("blind").checked);
  return list.load({ reviewer, ...values, disagree: find("disagree").checked, blind: find("blind").checked }).then(() => {
    find("found").textContent = `${list.total.toLocaleString("en")} clips`;
    find("found").dataset.milliseconds = Math.round(performance.now() - started);
  }).catch((error) => say(error.message));
}

function setName(name) {
  reviewer = name.trim();
  localStorage.setItem("merrflow-reviewer", reviewer);
  find("who").textContent = reviewer;
  history.length = 0;
  refresh().then(() => list.select(0)).then(showProgress);
}

const KEYS = {
  a: ["accept: the record is right, or your changes are", () => !audit && !clip.covered && verdict("keep", clip.mine?.kind === "keep" ? clip.mine.label : clip.label)],
  r: ["reject: not to be in the dataset", () => verdict("reject")],
  "1": ["to 0, - and =: the label with this key", null],
  m: ["the peak is at the frame shown now", setPeak],
  s: ["edit the subtitle (Esc: leave)", () => find("subtitle").focus()],
  t: ["edit the fine-grained text (Esc: leave)", () => !clip.covered && find("fine").focus()],
  n: ["write a note (Esc: leave)", () => find("note").focus()],
  u: ["undo your last verdict", undo],
  y: ["audit: the clue is right", () => judge("right")],
  x: ["audit: the clue is wrong", () => judge("wrong")],
  c: ["audit: it cannot be said", () => judge("unclear")],
  " ": ["play or pause", () => player.toggle()],
  p: ["go to the peak", () => player.seek(player.timeOf(draft.peak ?? clip.peak.index))],
  ArrowLeft: ["one frame back", () => player.step(-1)],
  ArrowRight: ["one frame on", () => player.step(1)],
  j: ["next clip (also ↓)", () => list.select(list.selected + 1)],
  k: ["clip before (also ↑)", () => list.select(list.selected - 1)],
  b: ["blind mode on or off", () => !audit && find("blind").click()],
  "/": ["find a name", () => { showList(true); find("text").focus(); }],
  "?": ["these keys", () => find("keys").showModal()],
};
const SAME = { ArrowDown: "j", ArrowUp: "k" };
const SHOWN = { " ": "space", ArrowLeft: "←", ArrowRight: "→" };

document.addEventListener("keydown", (event) => {
  const inField = event.target.matches("textarea, input:not([type=checkbox]), select");
  if (document.querySelector("dialog[open]") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (inField) return void (event.key === "Escape" && event.target.blur());
  const place = LABEL_KEYS.indexOf(event.key);
  const action = KEYS[SAME[event.key] || event.key]?.[1];
  if (place < 0 && !action) return;
  if (event.key === " " && event.target.matches("button, input")) event.target.blur();
  event.preventDefault();
  if (!clip && !["?", "/", "b"].includes(event.key)) return;
  if (place >= 0) about.labels[place] && verdict("keep", about.labels[place]);
  else action();
});
for (const [id, letter] of Object.entries({ accept: "a", reject: "r", undo: "u", next: "j", play: " ", "to-peak": "p", "set-peak": "m", "keys-button": "?" })) {
  find(id).addEventListener("click", () => (clip || letter === "?") && KEYS[letter][1]());
}
for (const [id, field] of Object.entries(FIELDS)) {
  find(id).addEventListener("input", () => {
    if (!draft) return;
    Object.assign(draft, { [field]: find(id).value, dirty: true });
    find("verdict").textContent = verdictText();
  });
}
for (const id of [...FILTERS, "disagree"]) find(id).addEventListener(id === "text" ? "input" : "change", refresh);
find("filters").addEventListener("submit", (event) => event.preventDefault());
find("blind").addEventListener("change", () => refresh().then(() => list.select(0)));
find("agreement-button").addEventListener("click", async () => {
  const found = await showProgress();
  if (!found) return;
  find("people-text").replaceChildren(...agreementLines(found).map((text) => element("p", text)));
  find("people-dialog").showModal();
});
find("who").addEventListener("click", () => find("name-dialog").showModal());
find("name-form").addEventListener("submit", () => setName(find("name-input").value));
find("open-list").addEventListener("click", () => showList(!find("side").classList.contains("shown")));
find("list").addEventListener("click", () => showList(false));

function showList(shown) {
  find("side").classList.toggle("shown", shown);
  find("open-list").setAttribute("aria-expanded", shown);
  list.draw();
}

function say(text) {
  find("toast").textContent = text;
  find("toast").hidden = false;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => (find("toast").hidden = true), 6000);
}

const named = Object.entries(KEYS).filter(([letter]) => audit || !"yxc".includes(letter));
find("key-map").replaceChildren(...named.flatMap(([letter, [text]]) => [element("dt", SHOWN[letter] || letter), element("dd", text)]));
find("blind").checked = document.body.dataset.blind === "yes";
new News(showProgress);
reviewer ? setName(reviewer) : find("name-dialog").showModal();
