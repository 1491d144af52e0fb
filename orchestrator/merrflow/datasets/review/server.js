// Requests to the server. A verdict is kept in the browser until the server has committed it, and sent again after a
// break; its key makes sure that it counts once.
const WAITING = "merrflow-waiting";

export async function ask(path, values = {}) {
  const query = new URLSearchParams(Object.entries(values).filter(([, value]) => value !== "" && value !== false));
  const answer = await fetch(`${path}?${query}`);
  if (!answer.ok) throw new Error(await why(answer));
  return answer.json();
}

export class Outbox {
  // changed(waiting): how many verdicts are not committed yet. refused(message, item): the server does not want one.
  // box: what they are kept under, so that two pages that were served at one address do not take each other's.
  constructor(changed, committed, refused, box = WAITING) {
    Object.assign(this, { changed, committed, refused, box, busy: false });
    this.waiting = JSON.parse(localStorage.getItem(box) || "[]");
    this.flush();
  }

  add(path, body) {
    this.waiting.push({ path, body: { key: newKey(), ...body } });
    this.keep();
    this.flush();
  }

  async flush() {
    this.changed(this.waiting.length);
    if (this.busy) return;
    this.busy = true;
    while (this.waiting.length) {
      const item = this.waiting[0];
      let answer;
      try {
        const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(item.body) };
        answer = await fetch(item.path, options);
      } catch {
        answer = null; // the server is away
      }
      if (!answer || answer.status >= 500) {
        this.changed(this.waiting.length, true);
        await new Promise((resolve) => setTimeout(resolve, 1000));
        continue;
      }
      this.waiting.shift();
      this.keep();
      this.changed(this.waiting.length);
      if (answer.ok) this.committed(item);
      else this.refused(await why(answer), item);
    }
    this.busy = false;
  }

  keep() {
    localStorage.setItem(this.box, JSON.stringify(this.waiting));
  }
}

function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function why(answer) {
  try {
    const { detail } = await answer.json();
    return typeof detail === "string" ? detail : detail.map((one) => `${one.loc.slice(1).join(".")}: ${one.msg}`).join("; ");
  } catch {
    return `the server answered ${answer.status}`;
  }
}
