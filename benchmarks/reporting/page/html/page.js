"use strict";
// Filters, sorting, and the figures, which are drawn when they come near the window.
(function () {
  const all = (selector, root) => Array.from((root || document).querySelectorAll(selector));
  const form = document.getElementById("filters");
  const views = new Map();
  let shown = [];

  function draw(figure) {
    if (views.has(figure)) return;
    views.set(figure, null);
    const spec = JSON.parse(figure.querySelector("script").textContent);
    const options = { renderer: "svg", actions: false };
    vegaEmbed(figure.querySelector(".chart"), spec, options).then((result) => {
      views.set(figure, result.view);
      result.view.signal("shown", shown).runAsync();
    });
  }

  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) draw(entry.target);
  }, { rootMargin: "800px" });

  function drawAll() {
    for (const figure of all("figure.block")) if (!figure.hidden) draw(figure);
  }

  function chosen(name) {
    const field = form.elements[name];
    return field ? field.value : "";
  }

  function fits(element, name, key) {
    const value = chosen(name);
    return !value || element.dataset[key] === undefined || element.dataset[key] === value;
  }

  function isOfShown(element) {
    const labels = element.dataset.labels;
    return labels === undefined || JSON.parse(labels).some((label) => shown.includes(label));
  }

  function filter() {
    shown = [];
    for (const box of all("input[name=method]", form)) {
      const possible = fits(box, "family", "family") && fits(box, "data-free", "dataFree");
      box.parentElement.classList.toggle("off", !possible);
      if (possible && box.checked) shown.push(box.value);
    }
    for (const block of all(".block, tr[data-row-omega]")) {
      block.hidden = !(fits(block, "dataset", "dataset") && fits(block, "widths", "widths")
        && fits(block, "omega", "omega") && fits(block, "omega", "rowOmega")
        && isOfShown(block));
    }
    for (const cell of all("#table [data-omega]")) cell.hidden = !fits(cell, "omega", "omega");
    for (const row of all("tr[data-label]")) {
      if (row.dataset.rowOmega === undefined) row.hidden = !shown.includes(row.dataset.label);
      else row.hidden = row.hidden || !shown.includes(row.dataset.label);
    }
    for (const view of views.values()) if (view) view.signal("shown", shown).runAsync();
    const n = all("input[name=method]", form).length;
    document.getElementById("shown").textContent = `${shown.length} of ${n} methods`;
  }

  function value(row, column) {
    const cell = row.cells[column];
    const text = cell.dataset.value === undefined ? cell.textContent.trim() : cell.dataset.value;
    return { text: text, number: text === "" ? NaN : Number(text.replace("inf", "Infinity")) };
  }

  // Numbers by size, other texts by letters; what has no value comes last in both directions.
  function compare(a, b, sign) {
    if (a.text === "" || b.text === "") return (a.text === "") - (b.text === "");
    if (!isNaN(a.number) && !isNaN(b.number)) return sign * (a.number - b.number);
    return sign * a.text.localeCompare(b.text);
  }

  function sort(heading) {
    const table = heading.closest("table");
    const column = heading.cellIndex;
    const first = heading.classList.contains("number") && !heading.classList.contains("cost");
    const now = heading.getAttribute("aria-sort");
    const down = now === "none" ? first : now === "ascending";
    for (const other of all("th[aria-sort]", table)) other.setAttribute("aria-sort", "none");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = table.tBodies[0];
    const rows = Array.from(body.rows).map((row) => [value(row, column), row]);
    rows.sort((a, b) => compare(a[0], b[0], down ? -1 : 1));
    body.append(...rows.map((pair) => pair[1]));
  }

  for (const button of all("th[aria-sort] button")) {
    button.addEventListener("click", () => sort(button.closest("th")));
  }
  form.addEventListener("change", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(filter, 0));
  window.addEventListener("beforeprint", drawAll);
  filter();
  for (const figure of all("figure.block")) watch.observe(figure);
})();
