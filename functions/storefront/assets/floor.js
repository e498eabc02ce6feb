// The floor, for the manager: the whole bakery at work, restocking, throwing trays away, and a rush.
const load = (name) => import(new URL("?asset=" + name, import.meta.url));
const {h, show, act, picture, count, duration, clock, grams} = await load("dom.js");
const {call, Trouble, newKey, backoff, Poll} = await load("api.js");
const {summary} = await load("order.js");
const {Rush, rushPanel} = await load("rush.js");

const every = 1000; // ms between two looks
const tick = 250; // ms between two drawings of the ovens
const queueLength = 12; // customers that are listed
const trayLength = 6; // trays that are listed in each state
const racksOfOneOven = 4; // max_inflight of the oven in stack.yml
const roundsOfOne = 10; // the button of one ingredient restocks for so many trays of every cookie
const fullRounds = 50; // a fridge that suffices for so many trays of every cookie is shown as full

// The key is kept for this tab only, and sent to the cashier and the baker.
const keyName = "bakery.manager-key";
const stored = {
  get key() {
    try {
      return sessionStorage.getItem(keyName) ?? "";
    } catch {
      return "";
    }
  },
  set key(key) {
    try {
      if (key) sessionStorage.setItem(keyName, key);
      else sessionStorage.removeItem(keyName);
    } catch {
      // it is asked for again
    }
  },
};

const state = {
  key: stored.key,
  checking: false,
  menu: null,
  floor: null,
  at: 0, // when the floor was read, by this browser's clock
  orders: [],
  restocked: {}, // Idempotency-Keys of restocks that were sent and not answered
  rounds: 50,
  busy: new Set(), // trays that are being thrown away, and restocks
  trouble: null,
  said: "", // what the last action did
  refused: "", // why the key was refused
  address: "", // that the QR code has
};

const rush = new Rush(() => drawRush());

let parts; // of the page

export function open(page) {
  document.title = "The bakery's floor";
  document.body.classList.add("wide");
  state.address = location.origin + location.pathname;
  show(
    page,
    h(
      "header",
      {class: "top"},
      h(
        "div",
        {class: "wrap bar"},
        h("h1", {}, picture("bread", "logo"), h("span", {}, "The floor")),
        h("nav", {"aria-label": "Views", id: "nav"}),
      ),
    ),
    h("div", {class: "wrap", id: "trouble"}),
    h("main", {class: "wrap floor", id: "floor"}),
    h("p", {class: "sr", role: "status", id: "live"}),
  );
  parts = Object.fromEntries(
    ["nav", "trouble", "floor", "live"].map((id) => [id, document.getElementById(id)]),
  );
  act(page, "click", {
    leave,
    restock: ({on}) => restock(on, {[on]: stockFor(roundsOfOne)[on]}),
    fill: () => restock("all", stockFor(state.rounds)),
    spoil: ({on}) => spoil(on),
    start: () => startRush(),
    stop: () => rush.stop(),
    retry: () => poll.wake(),
    dismiss: () => set({said: ""}),
  });
  act(page, "submit", {login});
  act(page, "change", {
    rounds: (_, select) => set({rounds: Number(select.value)}),
    address: (_, input) => set({address: input.value.trim() || location.origin + location.pathname}),
    shops: (_, select) => rush.set({shops: Number(select.value)}),
    speed: (_, select) => rush.set({speed: Number(select.value)}),
    stocked: (_, box) => rush.set({restock: box.checked}),
  });
  document.addEventListener("visibilitychange", () => document.hidden || poll.wake());
  draw();
  if (state.key) poll.wake();
  setInterval(() => {
    if (!document.hidden && state.floor) drawOvens();
  }, tick);
}

function set(change) {
  Object.assign(state, change);
  draw();
}

// poll looks at the bakery each second while somebody sees it.
let failures = 0;
const poll = new Poll(async () => {
  if (!state.key) return;
  const manager = state.key;
  try {
    const [floor, orders, menu] = await Promise.all([
      call("cashier", {query: {view: "floor"}, manager}),
      call("cashier", {query: {view: "orders", limit: queueLength}, manager}),
      state.menu ? null : call("cashier", {query: {view: "menu"}}),
    ]);
    if (state.key !== manager) return;
    failures = 0;
    stored.key = manager;
    if (menu) state.menu = new Map(menu.bakes.map((b) => [b.name, b]));
    rush.know(state.menu, floor.speed);
    set({
      floor,
      at: performance.now(),
      orders: orders.orders ?? [],
      trouble: null,
      checking: false,
      refused: "",
    });
    return every;
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    if (state.key !== manager) return;
    if (error.status === 401) {
      stored.key = "";
      rush.stop();
      set({
        key: "",
        floor: null,
        checking: false,
        trouble: null,
        refused: "This is not the manager's key. The functions have it as the secret manager-key.",
      });
      return;
    }
    failures++;
    set({trouble: error});
    return Math.max(error.wait, backoff(failures));
  }
});

function login(_, form) {
  const key = form.elements.key.value.trim();
  if (!key) {
    set({refused: "Enter the manager's key first."});
    return;
  }
  if (/[^\x21-\x7e]/.test(key)) {
    set({refused: "This is not the manager's key: a key has no spaces and no special letters."});
    return;
  }
  set({key, checking: true, refused: ""});
  poll.wake();
}

function leave() {
  stored.key = "";
  rush.stop();
  set({key: "", floor: null, orders: [], trouble: null, refused: "", said: "", checking: false});
}

// stockFor is what so many trays of every cookie need, in grams.
function stockFor(trays) {
  const amounts = {};
  for (const {ingredients} of state.menu?.values() ?? []) {
    for (const [name, g] of Object.entries(ingredients)) amounts[name] = (amounts[name] ?? 0) + g * trays;
  }
  return amounts;
}

// restock puts ingredients into the fridge. Until it is answered, the same button sends the same key.
async function restock(what, ingredients) {
  state.restocked[what] ??= {key: newKey(), ingredients};
  const sent = state.restocked[what];
  const weight = Object.values(sent.ingredients).reduce((a, b) => a + b, 0);
  return doing(what, async () => {
    const done = await call("baker", {
      method: "POST",
      query: {view: "fridge"},
      manager: state.key,
      key: sent.key,
      body: {ingredients: sent.ingredients},
    });
    delete state.restocked[what];
    const woken = done.woken > 0 ? ` ${count(done.woken, "waiting tray")} can be baked now.` : "";
    const [first, ...more] = Object.keys(sent.ingredients);
    return `${grams(weight)} ${more.length > 0 ? "" : `of ${first} `}went into the fridge.${woken}`;
  });
}

async function spoil(tray) {
  await doing(tray, async () => {
    const thrown = await call("baker", {method: "DELETE", query: {tray}, manager: state.key});
    const pieces = thrown.pieces > 0 ? `, with ${count(thrown.pieces, "piece")}` : "";
    return `Tray ${tray} was thrown away${pieces}. Another is baked if it is owed.`;
  });
}

// doing runs an action of the manager once at a time, says what came of it, and reports whether it was done.
async function doing(what, action) {
  if (state.busy.has(what)) return false;
  state.busy.add(what);
  draw();
  let said;
  let done = false;
  try {
    said = await action();
    done = true;
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    said = `${error.title}. ${error.detail}${error.passing ? " Try again; nothing is done twice." : ""}`;
    if (!error.passing) delete state.restocked[what];
  }
  state.busy.delete(what);
  set({said});
  poll.wake();
  return done;
}

async function startRush() {
  if (rush.options.restock) {
    delete state.restocked.rush; // another rush may need something else
    if (!(await restock("rush", rush.needs()))) return;
  }
  rush.start();
}

function draw() {
  const {trouble, said, key, floor} = state;
  show(
    parts.nav,
    h("a", {class: "quiet", href: location.pathname}, "Shop"),
    key && floor && h("button", {type: "button", class: "quiet", "data-do": "leave"}, "Forget the key"),
  );
  show(
    parts.trouble,
    trouble &&
      h(
        "div",
        {class: "note trouble", role: "alert", "data-key": "trouble"},
        h(
          "p",
          {},
          h("strong", {}, trouble.title + ". "),
          trouble.detail,
          " This page tries again by itself.",
        ),
        h("button", {type: "button", class: "quiet", "data-do": "retry"}, "Try now"),
      ),
    said &&
      h(
        "div",
        {class: "note said", "data-key": "said"},
        h("p", {}, said),
        h("button", {type: "button", class: "quiet", "data-do": "dismiss"}, "Close"),
      ),
  );
  if (parts.live.textContent !== said) parts.live.textContent = said;
  if (!floor) {
    show(parts.floor, gate());
    return;
  }
  if (!document.getElementById("ovens")) {
    show(
      parts.floor,
      columns.map((ids) =>
        h(
          "div",
          {class: "column " + ids[0], "data-key": ids[0]},
          ids.map((id) => h("section", {id, class: "panel", "aria-labelledby": id + "-title"})),
        ),
      ),
    );
  }
  drawCounts();
  drawOvens();
  drawDough();
  drawShelves();
  drawQueue();
  drawFridge();
  drawRush();
  drawCode();
}

const columns = [["counts"], ["ovens"], ["dough", "shelves"], ["queue"], ["rush", "code"], ["fridge"]];

const in_ = (id, title, ...children) =>
  show(document.getElementById(id), h("h2", {id: id + "-title"}, title), ...children);

function gate() {
  return h(
    "form",
    {class: "gate panel", "data-do": "login", "data-key": "gate"},
    h("h2", {}, "For the manager"),
    h(
      "p",
      {class: "hint"},
      "The floor needs the secret manager-key, which the functions were deployed with. ",
      "It is kept in this tab until you close it, and is sent to the cashier and the baker only.",
    ),
    h(
      "label",
      {class: "field"},
      "Manager's key",
      h("input", {
        name: "key",
        type: "password",
        autocomplete: "off",
        required: true,
        "aria-invalid": state.refused ? "true" : null,
        "aria-describedby": "refused",
      }),
    ),
    h("p", {id: "refused", class: "refused", role: "alert"}, state.refused),
    h(
      "button",
      {class: "primary", disabled: state.checking},
      state.checking ? "Checking …" : "Open the floor",
    ),
  );
}

function drawCounts() {
  const {orders, trays, ovens, racks, speed, now} = state.floor;
  const fact = (name, value) =>
    h("div", {"data-key": name}, h("dt", {}, name), h("dd", {}, value.toLocaleString("en")));
  in_(
    "counts",
    "Now",
    h(
      "dl",
      {class: "facts"},
      fact("orders baking", orders.baking),
      fact("handed over now", orders.ready),
      fact("served", orders.served),
      fact("cancelled", orders.cancelled),
      fact("refused", orders.refused),
      fact("ovens at work", ovens),
      fact("racks in use", racks.length),
      fact("trays sold", trays.sold),
      fact("trays spoiled", trays.spoiled),
    ),
    h(
      "p",
      {class: "hint"},
      `${clock(now)} by the bakery's clock, which bakes ${speed.toLocaleString("en")} times ` +
        "faster than real time.",
    ),
  );
}

function drawOvens() {
  const age = performance.now() - state.at;
  const ovens = new Map();
  for (const rack of state.floor.racks) {
    if (!ovens.has(rack.oven)) ovens.set(rack.oven, []);
    ovens.get(rack.oven).push(rack);
  }
  const names = [...ovens.keys()].sort();
  in_(
    "ovens",
    "Ovens",
    names.length === 0 &&
      h("p", {class: "hint"}, "No oven has a tray in it. An idle bakery scales to zero ovens."),
    h(
      "ul",
      {class: "ovens"},
      names.map((name, i) => {
        const racks = ovens.get(name);
        const free = Math.max(0, racksOfOneOven - racks.length);
        return h(
          "li",
          {class: "oven", "data-key": name},
          h("h3", {title: name}, `Oven ${i + 1}`, h("span", {class: "hint"}, ` ${count(free, "rack")} free`)),
          h(
            "ul",
            {class: "racks"},
            racks.map((r) => rackItem(r, age)),
            Array.from({length: free}, (_, n) =>
              h("li", {class: "rack free", "data-key": "free" + n}, "free"),
            ),
          ),
        );
      }),
    ),
  );
}

function rackItem(rack, age) {
  const done = Math.min(rack.needs_ms, rack.since_ms + age);
  return h(
    "li",
    {class: "rack", "data-key": rack.tray},
    picture(rack.cookie, "small"),
    h(
      "label",
      {},
      h("span", {class: "name"}, titleOf(rack.cookie)),
      h("progress", {max: rack.needs_ms, value: Math.round(done)}),
    ),
    h("span", {class: "left"}, done >= rack.needs_ms ? "done" : duration(rack.needs_ms - done)),
    spoilButton(rack.tray, titleOf(rack.cookie)),
  );
}

const titleOf = (cookie) => state.menu?.get(cookie)?.title ?? cookie;

function spoilButton(tray, title) {
  return h(
    "button",
    {
      type: "button",
      class: "spoil",
      "data-do": "spoil",
      "data-on": tray,
      disabled: state.busy.has(tray),
      "aria-label": `Throw away tray ${tray}, ${title}`,
      title: "Throw this tray away",
    },
    "Spoil",
  );
}

const comingStates = [
  ["asked", "Being mixed"],
  ["parked", "Waiting for ingredients"],
  ["mixed", "Dough, waiting for an oven"],
  ["baked", "Baked, on the way to the display"],
];

function drawDough() {
  const {coming, trays} = state.floor;
  in_(
    "dough",
    "Bakers",
    comingStates.map(([name, title]) => {
      const here = coming.filter((t) => t.state === name).slice(0, trayLength);
      const all = trays[name] ?? 0;
      return h(
        "div",
        {class: "coming " + name, "data-key": name},
        h("h3", {}, title, h("span", {class: "number"}, ` ${all}`)),
        here.length > 0 &&
          h(
            "ul",
            {class: "trays"},
            here.map((t) =>
              h(
                "li",
                {"data-key": t.tray},
                picture(t.cookie, "small"),
                h("span", {class: "name"}, titleOf(t.cookie)),
                h("span", {class: "left"}, duration(t.since_ms)),
                spoilButton(t.tray, titleOf(t.cookie)),
              ),
            ),
          ),
        all > here.length && h("p", {class: "hint"}, `and ${all - here.length} more`),
      );
    }),
  );
}

function drawShelves() {
  const {display} = state.floor;
  in_(
    "shelves",
    "Display",
    display.length === 0
      ? h("p", {class: "hint"}, "Nothing is on display.")
      : h(
          "ul",
          {class: "trays"},
          display.map((s) =>
            h(
              "li",
              {"data-key": s.cookie},
              picture(s.cookie, "small"),
              h("span", {class: "name"}, titleOf(s.cookie)),
              h("span", {class: "left"}, `${s.pieces} on ${count(s.trays.length, "tray")}`),
              spoilButton(s.trays[0], titleOf(s.cookie)),
            ),
          ),
        ),
  );
}

function drawQueue() {
  const {orders, floor} = state;
  const open = floor.orders.baking + floor.orders.ready;
  in_(
    "queue",
    "Customers",
    orders.length === 0
      ? h("p", {class: "hint"}, "Nobody waits.")
      : h(
          "ol",
          {class: "customers"},
          orders.map((o) =>
            h(
              "li",
              {"data-key": o.id},
              h("span", {class: "who"}, o.customer),
              h("span", {class: "name"}, summary(o, state.menu)),
              h(
                "span",
                {class: "left"},
                o.state === "ready"
                  ? "handed over"
                  : o.eta_seconds === null
                    ? "waits for a restock"
                    : `waits ${duration(floor.now - new Date(o.timeline.ordered))}`,
              ),
            ),
          ),
        ),
    open > orders.length && h("p", {class: "hint"}, `and ${open - orders.length} more`),
  );
}

function drawFridge() {
  const one = stockFor(1);
  const {fridge, trays} = state.floor;
  const names = Object.keys(one).sort();
  const rounds = Math.min(...names.map((name) => Math.floor((fridge[name] ?? 0) / one[name])));
  in_(
    "fridge",
    "Fridge",
    h(
      "p",
      {class: "hint"},
      rounds === 0
        ? "Some ingredient does not suffice for a tray of every cookie."
        : `It suffices for ${count(rounds, "tray")} of every cookie.`,
      trays.parked > 0 && ` ${count(trays.parked, "tray")} wait for ingredients.`,
    ),
    h(
      "div",
      {class: "row"},
      h(
        "label",
        {},
        "Trays of every cookie ",
        h(
          "select",
          {"data-do": "rounds"},
          [10, 50, 200].map((n) => h("option", {value: n, selected: n === state.rounds}, String(n))),
        ),
      ),
      h(
        "button",
        {type: "button", class: "primary", "data-do": "fill", disabled: state.busy.has("all")},
        "Restock everything",
      ),
    ),
    h(
      "ul",
      {class: "stock"},
      names.map((name) => {
        const g = fridge[name] ?? 0;
        const low = g < one[name];
        return h(
          "li",
          {class: low ? "low" : "", "data-key": name, "data-grams": g},
          h(
            "label",
            {},
            h("span", {class: "name"}, name),
            h("progress", {max: one[name] * fullRounds, value: Math.min(g, one[name] * fullRounds)}),
          ),
          h("span", {class: "left"}, grams(g), low && h("span", {}, " · short")),
          h(
            "button",
            {
              type: "button",
              "data-do": "restock",
              "data-on": name,
              disabled: state.busy.has(name),
              "aria-label": `Restock ${name}: ${grams(one[name] * roundsOfOne)}`,
            },
            "+" + grams(one[name] * roundsOfOne),
          ),
        );
      }),
    ),
  );
}

function drawRush() {
  if (document.getElementById("rush")) in_("rush", "Rush", rushPanel(rush, state.busy.has("rush")));
}

function drawCode() {
  const {address} = state;
  let host = "";
  try {
    host = new URL(address).hostname;
  } catch {
    // the picture is missing, and the text says why
  }
  const here = host === "localhost" || host === "[::1]" || host.startsWith("127.");
  in_(
    "code",
    "For your customers",
    host
      ? h("img", {
          class: "qr",
          src: "?" + new URLSearchParams({qr: address}),
          alt: `QR code of ${address}`,
          width: 200,
          height: 200,
        })
      : h("p", {class: "hint"}, "This is not an address that a browser can open."),
    h(
      "label",
      {class: "field"},
      "Address in the code",
      h("input", {type: "url", value: address, "data-do": "address", maxlength: 300}),
    ),
    here &&
      h(
        "p",
        {class: "hint"},
        "This address works on this machine only. Open the floor under the machine's ",
        "name, or enter an address here that phones can reach.",
      ),
  );
}
