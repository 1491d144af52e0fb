// The page of merrflow compare: two texts of one clip, and which is better.
import { Outbox, ask } from "/static/server.js";
import { element } from "/static/text.js";

const find = (id) => document.getElementById(id);
const AHEAD = 20; // pairs that are fetched at once; so many can be answered while the server is away
const LOW = 5;
let reviewer = document.body.dataset.reviewer || localStorage.getItem("merrflow-reviewer") || "";
let queue = []; // pairs to come, the first of them shown
let past = []; // answered, the last one last
let total = 0;
let done = 0;
let counted = false; // whether `done` is known
let turns = 0; // answers and undos here: a count that the server made before one of them is old
let complete = false; // whether the server has listed all that is left
let loading = 0; // the version for which a request is on its way
let version = 0; // of the reviewer's name: answers for another one are dropped
const sent = new Set(); // showings that were answered here, which a late answer of the server may still list
const slot = (pair) => `${pair.id} ${pair.left.digest}`;

const outbox = new Outbox(
  (waiting, away) => {
    find("saved").textContent = !waiting ? "saved" : away ? `${waiting} not saved: the server is away, trying again` : "saving …";
    find("saved").className = away ? "away" : "";
  },
  () => queue.length < LOW && load(),
  (message) => say(message),
  "merrflow-compare-waiting",
);
window.merrflow = { waiting: () => outbox.waiting.length };

async function load() {
  const asked = version;
  if (loading === asked) return;
  loading = asked;
  const [turn, saved] = [turns, !outbox.waiting.length];
  let found;
  try {
    found = await ask("/api/queue", { reviewer, limit: 2 * AHEAD });
  } catch (error) {
    return say(error.message);
  } finally {
    if (loading === asked) loading = 0;
  }
  if (asked !== version) return;
  const shown = queue[0];
  const known = new Set(queue.map(slot));
  queue.push(...found.next.filter((pair) => !known.has(slot(pair)) && !sent.has(slot(pair))));
  total = found.total;
  complete = found.next.length < 2 * AHEAD;
  if (!past.length && found.last) past = [found.last];
  if (!shown || shown !== queue[0] || !find("end").hidden) show();
  const waiting = outbox.waiting.reduce((sum, item) => sum + (item.body.place ? 1 : -1), 0);
  progress(!counted || (saved && turn === turns) ? found.done + waiting : done);
  counted = true;
}

function show() {
  const pair = queue[0];
  find("end").hidden = Boolean(pair);
  document.querySelector("main.pair").hidden = !pair;
  find("video").pause();
  if (!pair) {
    const end = total ? "You have answered all pairs. Thank you." : "The texts of both runs are the same: there is nothing to compare.";
    find("end-text").textContent = complete ? end : "Waiting for the server …";
    find("undo-last").hidden = !past.length;
    return;
  }
  find("name").textContent = pair.name;
  find("left").textContent = pair.left.text;
  find("right").textContent = pair.right.text;
  find("no-video").hidden = true;
  find("video").controls = true;
  find("video").poster = `/pairs/${pair.id}/picture`;
  find("video").src = `/pairs/${pair.id}/video`;
  document.querySelector("main.pair").scrollTop = 0;
}

function body(pair) {
  return { reviewer, left: pair.left.digest, right: pair.right.digest };
}

function answer(place) {
  const pair = queue.shift();
  if (!pair) return;
  past.push(pair);
  sent.add(slot(pair));
  turns += 1;
  outbox.add(`/api/pairs/${pair.id}/answer`, { ...body(pair), place });
  progress(done + 1);
  show();
  if (queue.length < LOW) load();
}

function undo() {
  const pair = past.pop();
  if (!pair) return say("There is nothing to undo.");
  sent.delete(slot(pair));
  turns += 1;
  outbox.add(`/api/pairs/${pair.id}/undo`, body(pair));
  queue.unshift(pair);
  progress(Math.max(0, done - 1));
  show();
}

function progress(now) {
  done = now;
  find("progress").textContent = `${done} of ${total} by you`;
}

function setName(name) {
  reviewer = name.trim();
  localStorage.setItem("merrflow-reviewer", reviewer);
  find("who").textContent = reviewer;
  version += 1;
  [queue, past, complete, counted] = [[], [], false, false];
  sent.clear();
  for (const { path, body } of outbox.waiting) if (body.place && body.reviewer === reviewer) sent.add(`${path.split("/")[3]} ${body.left}`);
  load();
}

const KEYS = {
  1: ["text 1 is better", () => answer("first")],
  2: ["text 2 is better", () => answer("second")],
  0: ["both are as good, or as bad", () => answer("same")],
  u: ["undo your last answer", undo],
  " ": ["play or pause", () => (find("video").paused ? find("video").play().catch(() => {}) : find("video").pause())],
  "?": ["these keys", () => find("keys").showModal()],
};

document.addEventListener("keydown", (event) => {
  if (document.querySelector("dialog[open]") || event.ctrlKey || event.metaKey || event.altKey) return;
  const action = KEYS[event.key]?.[1];
  if (!action || event.repeat) return;
  event.preventDefault();
  if (document.activeElement !== document.body) document.activeElement.blur();
  action();
});
for (const [id, letter] of Object.entries({ first: 1, second: 2, same: 0, undo: "u", "undo-last": "u", "keys-button": "?" })) {
  find(id).addEventListener("click", () => KEYS[letter][1]());
}
find("video").addEventListener("error", () => {
  if (!find("video").getAttribute("src")) return;
  find("no-video").textContent = "The browser cannot play this clip: its file is gone, or of a kind that it does not know. The texts can still be compared.";
  find("no-video").hidden = false;
  find("video").controls = false;
});
find("who").addEventListener("click", () => find("name-dialog").showModal());
find("name-form").addEventListener("submit", () => setName(find("name-input").value));

function say(text) {
  find("toast").textContent = text;
  find("toast").hidden = false;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => (find("toast").hidden = true), 6000);
}

const SHOWN = { " ": "space" };
find("key-map").replaceChildren(...Object.entries(KEYS).flatMap(([letter, [text]]) => [element("dt", SHOWN[letter] || letter), element("dd", text)]));
reviewer ? setName(reviewer) : find("name-dialog").showModal();
