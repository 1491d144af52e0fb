"use strict";
// Shows and hides what is already in the page; it never makes HTML.
(() => {
  const items = [...document.querySelectorAll("[data-item]")];
  const buttons = [...document.querySelectorAll("button[data-filter]")];
  const find = document.getElementById("find");
  const shown = document.getElementById("shown");
  const nothing = document.getElementById("nothing");
  const plain = (text) => text.normalize("NFKC").toLowerCase();
  const pressed = (button) => button.getAttribute("aria-pressed") === "true";
  let texts = null; // read when the first search comes, so that a large page opens fast

  const searchable = () =>
    items.map((item) => plain([...item.querySelectorAll("[data-find]")].map((e) => e.textContent).join("\n")));

  const chosen = (kind) =>
    new Set(buttons.filter((b) => b.dataset.filter === kind && pressed(b)).map((b) => b.dataset.value));

  function apply() {
    const outcomes = chosen("outcome");
    const labels = chosen("label");
    const words = plain(find.value).split(/\s+/).filter(Boolean);
    if (words.length && !texts) texts = searchable();
    let count = 0;
    items.forEach((item, i) => {
      const fits =
        (!outcomes.size || outcomes.has(item.dataset.outcome)) &&
        (!labels.size || labels.has(item.dataset.label)) &&
        words.every((word) => texts[i].includes(word));
      item.hidden = !fits;
      count += fits;
    });
    for (const heading of document.querySelectorAll("main h2")) {
      let next = heading.nextElementSibling;
      let any = false;
      for (; next && next.tagName !== "H2" && next.id !== "nothing"; next = next.nextElementSibling) {
        any ||= next.matches("[data-item]:not([hidden])") || !!next.querySelector("[data-item]:not([hidden])");
      }
      heading.classList.toggle("none", !any);
    }
    const active = [...outcomes, ...labels].join(", ");
    shown.textContent = `${count.toLocaleString("en")} of ${items.length.toLocaleString("en")} shown${active ? ` · ${active}` : ""}`;
    nothing.hidden = count > 0 || items.length === 0;
  }

  let timer = 0;
  find.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(apply, 120);
  });
  for (const button of buttons) {
    button.disabled = false;
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", String(!pressed(button)));
      apply();
    });
  }
  document.getElementById("clear").addEventListener("click", () => {
    find.value = "";
    for (const button of buttons) button.setAttribute("aria-pressed", "false");
    apply();
  });
  const form = document.querySelector("form.filter");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = items.length === 0;
  for (const hint of document.querySelectorAll(".hint")) hint.hidden = false;
  apply();
})();
