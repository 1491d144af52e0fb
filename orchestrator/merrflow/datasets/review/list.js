// A list of any length: only the rows in view exist, and they are fetched a page at a time.
import { ask } from "./server.js";

const ROW = 52; // pixels, as in page.css
const PAGE = 100;

export class List {
  constructor(box, room, pick) {
    Object.assign(this, { box, room, pick, total: 0, selected: -1, pages: new Map(), query: {}, version: 0 });
    box.addEventListener("scroll", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(box);
  }

  async load(query) {
    const version = ++this.version;
    const first = await ask("/api/clips", { ...query, offset: 0, limit: PAGE });
    if (version !== this.version) return; // another filter was chosen meanwhile
    this.pages = new Map([[0, Promise.resolve(first.rows)]]);
    this.rows = new Map([[0, first.rows]]);
    this.total = first.total;
    this.query = { ...query, as_of: first.as_of }; // so that rows do not move when verdicts are said
    this.selected = -1;
    this.box.scrollTop = 0;
    this.room.style.height = `${this.total * ROW}px`;
    this.draw();
  }

  page(number) {
    if (!this.pages.has(number)) {
      const version = this.version;
      const found = ask("/api/clips", { ...this.query, offset: number * PAGE, limit: PAGE }).then(({ rows }) => {
        if (version === this.version) {
          this.rows.set(number, rows);
          this.draw();
        }
        return rows;
      });
      found.catch(() => version === this.version && this.pages.delete(number));
      this.pages.set(number, found);
    }
    return this.pages.get(number);
  }

  async at(index) {
    return (await this.page(Math.floor(index / PAGE)))[index % PAGE];
  }

  async select(index) {
    if (!this.total) return;
    this.selected = Math.max(0, Math.min(this.total - 1, index));
    const top = this.selected * ROW;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    if (top + ROW > this.box.scrollTop + this.box.clientHeight) this.box.scrollTop = top + ROW - this.box.clientHeight;
    this.draw();
    this.pick(await this.at(this.selected));
  }

  mark(id, changes) {
    for (const rows of this.rows.values()) for (const row of rows) if (row.id === id) Object.assign(row, changes);
    this.draw();
  }

  indexOf(id) {
    for (const [page, rows] of this.rows) {
      const place = rows.findIndex((row) => row.id === id);
      if (place >= 0) return page * PAGE + place;
    }
    return -1;
  }

  draw() {
    if (!this.rows) return;
    const first = Math.max(0, Math.floor(this.box.scrollTop / ROW) - 4);
    const last = Math.min(this.total, Math.ceil((this.box.scrollTop + this.box.clientHeight) / ROW) + 4);
    const drawn = document.createDocumentFragment();
    for (let index = first; index < last; index++) {
      const rows = this.rows.get(Math.floor(index / PAGE));
      if (!rows) this.page(Math.floor(index / PAGE)).catch(() => {});
      drawn.append(this.row(index, rows?.[index % PAGE]));
    }
    this.room.replaceChildren(drawn);
  }

  row(index, row) {
    const element = document.createElement("div");
    element.className = "row";
    element.style.top = `${index * ROW}px`;
    element.setAttribute("role", "option");
    element.setAttribute("aria-selected", index === this.selected);
    if (!row) return element;
    element.dataset.id = row.id;
    const parts = [
      ["name", row.name],
      [`mine ${row.mine === null ? "" : row.mine === "(rejected)" ? "no" : "yes"}`, row.mine === null ? "" : row.mine === "(rejected)" ? "✕ rejected" : `✓ ${row.mine}`],
      ["about", [row.label, row.standing, `${row.seconds} s`, row.others ? `${row.others} other${row.others > 1 ? "s" : ""}` : ""].filter(Boolean).join(" · ")],
    ];
    for (const [kind, text] of parts) {
      const part = document.createElement("span");
      part.className = kind;
      part.textContent = text;
      element.append(part);
    }
    element.addEventListener("click", () => this.select(index));
    return element;
  }
}
