// The floor, for the manager: the whole bakery at work, restocking, throwing trays away, and a rush.
const load = (name) => import(new URL("?asset=" + name, import.meta.url));
const {h, show, act, picture, count, grams} = await load("dom.js");
const {call, ordersOf, Trouble, newKey, backoff, Poll} = await load("api.js");
const {Rush} = await load("rush.js");
const {attach, draw, drawOvens, drawRush, stockFor, roundsOfOne} = await load("floorview.js");

const every = 1000; // ms between two looks
const tick = 250; // ms between two drawings of the ovens
const queueLength = 12; // customers that are listed

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
  attach(state, parts, rush);
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
      orders: ordersOf(orders),
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
