"use strict";
// Draws the charts one after the other, as the page is read; switches, theme and print.
(() => {
  const { config, charts } = JSON.parse(document.getElementById("chart-data").textContent);
  const tip = document.getElementById("tip");
  const views = new Map();
  const NARROW = 560; // pixels, below which the entries of a legend stand below each other

  function showTip(handler, event, item, value) {
    tip.hidden = value === null || value === undefined || value === "";
    if (tip.hidden) return;
    tip.replaceChildren(...Object.entries(value).map(([name, text]) => {
      const line = document.createElement("div");
      const label = document.createElement("span");
      const own = document.createElement("b");
      label.textContent = name;
      own.textContent = text;
      line.append(label, own);
      return line;
    }));
    const box = tip.getBoundingClientRect();
    const left = event.clientX + 14;
    const over = left + box.width > innerWidth - 8;
    tip.style.left = `${Math.max(8, over ? event.clientX - box.width - 14 : left)}px`;
    tip.style.top = `${Math.max(8, Math.min(event.clientY + 14, innerHeight - box.height - 8))}px`;
  }

  async function draw(holder) {
    const chart = charts[holder.dataset.name];
    const inner = document.createElement("div");
    if (chart.least) {
      inner.className = "wide";
      inner.style.minWidth = `${chart.least}px`;
    }
    views.get(holder)?.finalize();
    holder.replaceChildren(inner);
    const narrow = holder.clientWidth < NARROW ? { legend: { ...config.legend, columns: 1 } } : {};
    const options = {
      ast: true, actions: false, renderer: "svg", defaultStyle: false, tooltip: showTip, config: { ...config, ...narrow },
    };
    const result = await window.vegaEmbed(inner, structuredClone(chart.spec), options);
    views.set(holder, result);
    holder.style.minHeight = "";
  }

  function apply(chart, at, on) {
    for (const part of chart.switches[at].parts) {
      const end = part.path.length - 1;
      const owner = part.path.slice(0, end).reduce((value, key) => value[key], chart.spec);
      owner[part.path[end]] = on ? part.on : part.off;
    }
  }

  const holders = [...document.querySelectorAll(".chart")];
  for (const holder of holders) holder.style.minHeight = `${Number(holder.dataset.height) + 40}px`;
  for (const button of document.querySelectorAll("button[data-switch]")) {
    button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(on));
      apply(charts[button.dataset.chart], Number(button.dataset.switch), on);
      draw(holders.find((holder) => holder.dataset.name === button.dataset.chart));
    });
  }

  const theme = document.getElementById("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const told = () => document.documentElement.dataset.theme;
  const press = () => theme.setAttribute("aria-pressed", String((told() ?? (dark.matches ? "dark" : "light")) === "dark"));
  theme.addEventListener("click", () => {
    document.documentElement.dataset.theme = theme.getAttribute("aria-pressed") === "true" ? "light" : "dark";
    press();
  });
  dark.addEventListener("change", press);
  press();

  // On paper everything is to be seen, and as wide as the sheet.
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const each of closed) each.open = true;
  });
  addEventListener("afterprint", () => {
    for (const each of closed) each.open = false;
  });

  (async () => {
    for (const holder of holders) {
      await draw(holder);
      await new Promise((done) => setTimeout(done));
    }
    document.documentElement.dataset.drawn = "all";
  })();
})();
