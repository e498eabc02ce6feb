// What the floor looks like: it draws the state that floor.js keeps.
const load = (name) => import(new URL("?asset=" + name, import.meta.url));
const {h, show, picture, troubleNote, count, duration, clock, grams} = await load("dom.js");
const {summary} = await load("order.js");
const {rushPanel} = await load("rush.js");

const trayLength = 6; // trays that are listed in each state
const racksOfOneOven = 4; // max_inflight of the oven in stack.yml
export const roundsOfOne = 10; // the button of one ingredient restocks for so many trays of every cookie
const fullRounds = 50; // a fridge that suffices for so many trays of every cookie is shown as full

let state;
let parts; // of the page
let rush;

// attach says which state and which rush are drawn, and onto which parts of the page.
export function attach(ofFloor, ofPage, theRush) {
  state = ofFloor;
  parts = ofPage;
  rush = theRush;
}

// stockFor is what so many trays of every cookie need, in grams.
export function stockFor(trays) {
  const amounts = {};
  for (const {ingredients} of state.menu?.values() ?? []) {
    for (const [name, g] of Object.entries(ingredients)) amounts[name] = (amounts[name] ?? 0) + g * trays;
  }
  return amounts;
}

export function draw() {
  const {trouble, said, key, floor} = state;
  show(
    parts.nav,
    h("a", {class: "quiet", href: location.pathname}, "Shop"),
    key && floor && h("button", {type: "button", class: "quiet", "data-do": "leave"}, "Forget the key"),
  );
  show(
    parts.trouble,
    trouble && troubleNote(trouble),
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
          {class: "column of-" + ids[0], "data-key": ids[0]},
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
      fact("ready", orders.ready),
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
      `It is ${clock(now)} at the bakery, which bakes `,
      speed === 1 ? "in real time." : `${speed.toLocaleString("en")} times faster than real time.`,
    ),
  );
}

export function drawOvens() {
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
      "aria-label": `Spoil tray ${tray}, ${title}`,
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
              "aria-label": `+${grams(one[name] * roundsOfOne)} of ${name}`,
            },
            "+" + grams(one[name] * roundsOfOne),
          ),
        );
      }),
    ),
  );
}

export function drawRush() {
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
