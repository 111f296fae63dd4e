// The table of all trials: sorted by its headings, filtered by words and comparisons, a page at a time.
(() => {
  const { rows, columns } = JSON.parse(document.getElementById("trial-data").textContent);
  const [head, body] = ["thead", "tbody"].map((name) => document.querySelector(`#trial-table ${name}`));
  const filter = document.getElementById("filter");
  const [previous, next, shown] = ["previous", "next", "shown"].map((name) => document.getElementById(name));
  const SIZE = 25;
  const short = (value, digits) => String(Number(value.toPrecision(digits)));
  const written = {
    whole: (value) => value.toLocaleString("en"),
    percent: (value) => `${(100 * value).toFixed(1)}%`,
    three: (value) => short(value, 3),
    four: (value) => short(value, 4),
  };
  const every = Array.from({ length: rows }, (_, row) => row);
  let order = every;
  let page = 0;
  let sorted = { column: 0, up: true };
  let waiting;

  const number = (column) => column.kind !== "words";
  const value = (column, row) => (number(column) ? column.values[row] : column.words[column.values[row]]);
  const text = (column, row) => {
    const own = value(column, row);
    if (own === null || own === "") return "–";
    return number(column) ? written[column.kind](own) : own;
  };

  const whole = [];
  const line = (row) => (whole[row] ??= columns.map((column) => text(column, row)).join("\t").toLowerCase());

  const TESTS = {
    "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b,
    ">=": (a, b) => a >= b, "=": (a, b) => a === b, "!=": (a, b) => a !== b,
  };

  function test(term) {
    const parts = /^(.+?)(<=|>=|!=|<|>|=)(.+)$/.exec(term);
    const column = parts && columns.find((each) => each.head.replaceAll(" ", "_").toLowerCase() === parts[1]);
    if (!column) return (row) => line(row).includes(term);
    const compare = TESTS[parts[2]];
    if (!number(column)) return (row) => compare(value(column, row).toLowerCase(), parts[3]);
    const limit = parts[3].endsWith("%") ? Number(parts[3].slice(0, -1)) / 100 : Number(parts[3]);
    return (row) => value(column, row) !== null && compare(value(column, row), limit);
  }

  function select() {
    const tests = filter.value.trim().toLowerCase().split(/\s+/).filter(Boolean).map(test);
    order = every.filter((row) => tests.every((each) => each(row)));
    const { column, up } = sorted;
    const own = columns[column];
    const sign = up ? 1 : -1;
    order.sort((a, b) => {
      const [x, y] = [value(own, a), value(own, b)];
      if (x === null || y === null) return (x === null) - (y === null) || a - b; // what is missing comes last
      return sign * (number(own) ? x - y : x.localeCompare(y, "en")) || a - b;
    });
    page = 0;
    show();
  }

  function show() {
    const first = page * SIZE;
    const some = order.slice(first, first + SIZE);
    body.replaceChildren(...some.map((row) => {
      const line = document.createElement("tr");
      columns.forEach((column, at) => {
        const cell = document.createElement(at === 1 ? "th" : "td");
        if (at === 1) cell.scope = "row";
        if (number(column)) cell.className = "number";
        cell.textContent = text(column, row);
        line.append(cell);
      });
      return line;
    }));
    const count = (value) => value.toLocaleString("en");
    const last = first + some.length;
    const of = order.length < rows ? `${count(order.length)} found of ${count(rows)} trials` : `${count(rows)} trials`;
    shown.textContent = some.length ? `${count(first + 1)}–${count(last)} of ${of}` : `none of ${count(rows)} trials`;
    previous.disabled = page === 0;
    next.disabled = last >= order.length;
    [...head.querySelectorAll("th")].forEach((cell, at) => {
      const direction = sorted.up ? "ascending" : "descending";
      cell.setAttribute("aria-sort", at === sorted.column ? direction : "none");
    });
  }

  const heads = document.createElement("tr");
  columns.forEach((column, at) => {
    const cell = document.createElement("th");
    const button = document.createElement("button");
    cell.scope = "col";
    if (number(column)) cell.className = "number";
    button.type = "button";
    button.textContent = column.head;
    button.addEventListener("click", () => {
      sorted = { column: at, up: sorted.column === at ? !sorted.up : true };
      select();
    });
    cell.append(button);
    heads.append(cell);
  });
  head.append(heads);
  filter.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(select, 80);
  });
  previous.addEventListener("click", () => { page -= 1; show(); });
  next.addEventListener("click", () => { page += 1; show(); });
  select();
})();
