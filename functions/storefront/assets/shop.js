// The shop: the menu, the basket, and the customer's own orders.
const load = (name) => import(new URL("?asset=" + name, import.meta.url));
const {h, show, act, picture} = await load("dom.js");
const {call, ordersOf, Trouble, newKey, sleep, visible, backoff, Poll} = await load("api.js");
const {stageOf, isOpen, summary} = await load("order.js");
const {attach, draw, drawOrders, titleOf, inBasket, maxQuantity} = await load("shopview.js");

const maxOrders = 20; // that this browser remembers
const tick = 250; // ms between two drawings of a bake's progress

// saved is what this browser remembers. A browser that forbids storage forgets it with the page.
const saved = {
  read(name, fallback) {
    try {
      return JSON.parse(localStorage.getItem("bakery." + name)) ?? fallback;
    } catch {
      return fallback;
    }
  },
  write(name, value) {
    try {
      if (value === null) localStorage.removeItem("bakery." + name);
      else localStorage.setItem("bakery." + name, JSON.stringify(value));
    } catch {
      // it is forgotten
    }
  },
};

const state = {
  menu: null, // by cookie, in the menu's order
  speed: 1,
  display: new Map(), // pieces by cookie
  short: new Map(), // by cookie, the ingredient that the fridge has too little of for one tray
  basket: saved.read("basket", {}), // pieces by cookie
  customer: saved.read("customer", ""),
  sending: saved.read("sending", null), // {key, order}: sent, and not answered yet
  ids: saved.read("orders", []), // of this customer's orders, newest first
  orders: new Map(), // by id: {order, at}
  cancelling: new Set(),
  trouble: null, // what keeps the shop from working
  refusal: null, // why the last order or cancellation was refused
  live: "", // what a screen reader says
};

let parts; // of the page

export function open(page) {
  show(
    page,
    h("a", {class: "skip", href: "#menu"}, "Skip to the menu"),
    h(
      "header",
      {class: "top"},
      h(
        "div",
        {class: "wrap bar"},
        h("h1", {}, picture("chocolate-chip", "logo"), h("span", {}, "The cookie bakery")),
        h("nav", {"aria-label": "Views"}, h("a", {class: "quiet", href: "?view=floor"}, "Floor")),
      ),
    ),
    h("div", {class: "wrap", id: "trouble"}),
    h(
      "main",
      {class: "wrap shop"},
      h(
        "div",
        {class: "goods"},
        h("section", {id: "orders", "aria-label": "Your orders"}),
        h("section", {id: "display", "aria-labelledby": "display-title"}),
        h("section", {id: "menu", tabindex: "-1", "aria-labelledby": "menu-title"}),
      ),
      h("aside", {id: "basket", tabindex: "-1", "aria-labelledby": "basket-title"}),
    ),
    h("div", {class: "dock", id: "dock"}),
    h("p", {class: "sr", role: "status", id: "live"}),
  );
  parts = Object.fromEntries(
    ["trouble", "orders", "display", "menu", "basket", "dock", "live"].map((id) => [
      id,
      document.getElementById(id),
    ]),
  );
  const handlers = {
    add: ({cookie}) => put(cookie, (state.basket[cookie] ?? 0) + 1),
    less: ({cookie}) => put(cookie, (state.basket[cookie] ?? 0) - 1),
    quantity: ({cookie}, input) => put(cookie, Math.round(Number(input.value)), input),
    customer: (_, input) => saved.write("customer", (state.customer = input.value.trim())),
    place: placeOrder,
    stop: stopSending,
    cancel: ({order}) => cancelOrder(order),
    again: ({order}) => orderAgain(order),
    forget: ({order}) => forget(order),
    dismiss: () => set({refusal: null}),
    retry: () => shopPoll.wake(),
  };
  act(page, "click", {...handlers, quantity: null, customer: null, place: null});
  act(page, "change", {quantity: handlers.quantity, customer: handlers.customer});
  act(page, "submit", {place: handlers.place});
  document.addEventListener("visibilitychange", () => document.hidden || shopPoll.wake());
  // The link to the basket is of no use beside the basket.
  new IntersectionObserver(([basket]) => (parts.dock.hidden = basket.isIntersecting)).observe(parts.basket);
  addEventListener("pageshow", (event) => event.persisted && shopPoll.wake());
  attach(state, parts);
  draw();
  shopPoll.wake();
  orderPoll.wake();
  if (state.sending) send();
  setInterval(() => {
    if (!document.hidden && openOrders().length > 0) drawOrders();
  }, tick);
}

function set(change) {
  Object.assign(state, change);
  draw();
}

const openOrders = () =>
  state.ids.filter((id) => !state.orders.has(id) || isOpen(state.orders.get(id).order));

// shopPoll reads the menu, the display and the fridge: once, and again when the page is looked at or an order
// moved. It goes on only while that fails.
let shopFailures = 0;
const shopPoll = new Poll(async () => {
  try {
    const [menu, display, fridge] = await Promise.all([
      call("cashier", {query: {view: "menu"}}),
      call("server", {query: {view: "display"}}),
      call("baker", {query: {view: "fridge"}}),
    ]);
    shopFailures = 0;
    set({
      menu: new Map(menu.bakes.map((b) => [b.name, b])),
      speed: menu.speed ?? 1,
      display: new Map(display.display.map((s) => [s.cookie, s.pieces])),
      short: new Map(menu.bakes.map((b) => [b.name, shortage(b, fridge.ingredients)]).filter(([, i]) => i)),
      trouble: null,
    });
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    shopFailures++;
    set({trouble: error});
    return Math.max(error.wait, backoff(shopFailures));
  }
});

function shortage(bake, fridge) {
  return Object.keys(bake.ingredients).find((name) => (fridge[name] ?? 0) < bake.ingredients[name]);
}

// orderPoll reads the open orders, often if one will be served soon. Without one it stops.
let orderFailures = 0;
const orderPoll = new Poll(async () => {
  const ids = openOrders();
  if (ids.length === 0) return;
  try {
    const answer = await call("cashier", {query: {order: ids.join(","), trays: "true"}});
    const found = new Map(ordersOf(answer).map((o) => [o.id, o]));
    orderFailures = 0;
    let moved = state.trouble !== null; // the shop may be open again
    for (const id of ids) {
      if (found.has(id)) moved = receive(found.get(id)) || moved;
      else forget(id); // it ended long ago
    }
    if (moved) shopPoll.wake();
    draw();
    return pause();
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    if (error.status === 404 && ids.length === 1 && error.title === "No such order") {
      forget(ids[0]);
      return 0;
    }
    orderFailures++;
    set({trouble: error});
    return Math.max(error.wait, backoff(orderFailures));
  }
});

function pause() {
  const etas = openOrders().map((id) => state.orders.get(id)?.order.eta_seconds ?? 30);
  return Math.min(5000, Math.max(700, (Math.min(...etas) * 1000) / 20));
}

// receive takes what the cashier says of an order, and reports whether the order has moved.
function receive(order) {
  const before = state.orders.get(order.id)?.order;
  state.orders.set(order.id, {order, at: performance.now()});
  const now = stageOf(order).name;
  if (before && stageOf(before).name === now) return false;
  state.live = `Your order of ${summary(order, state.menu)}: ${now}.`;
  return true;
}

function remember(ids) {
  state.ids = [...new Set(ids)].slice(0, maxOrders);
  saved.write("orders", state.ids);
}

function forget(id) {
  state.orders.delete(id);
  remember(state.ids.filter((other) => other !== id));
  draw();
}

function put(cookie, quantity, input) {
  const n = Math.min(maxQuantity, Math.max(0, quantity || 0));
  if (n === 0) delete state.basket[cookie];
  else state.basket[cookie] = n;
  if (input) input.value = n;
  saved.write("basket", state.basket);
  const title = titleOf(cookie);
  set({live: n === 0 ? `${title} is out of the basket.` : `${title}: ${n} in the basket.`});
}

// placeOrder sends the basket. One key belongs to it until it is answered, so a double click, a retry and a
// reloaded page place one order.
function placeOrder() {
  const items = inBasket().map(([cookie, quantity]) => ({cookie, quantity}));
  if (state.sending || items.length === 0) return;
  const order = {items};
  if (state.customer) order.customer = state.customer;
  state.sending = {key: newKey(), order};
  state.basket = {};
  state.refusal = null;
  saved.write("sending", state.sending);
  saved.write("basket", state.basket);
  draw();
  send();
}

async function send() {
  const {sending} = state;
  for (let failures = 0; state.sending === sending;) {
    try {
      const order = await call("cashier", {method: "POST", body: sending.order, key: sending.key});
      if (state.sending === sending) saved.write("sending", (state.sending = null));
      remember([order.id, ...state.ids]);
      receive(order);
      set({trouble: null});
      parts.orders.scrollIntoView({block: "start", behavior: motion()});
      shopPoll.wake();
      orderPoll.wake();
      return;
    } catch (error) {
      if (!(error instanceof Trouble)) throw error;
      if (state.sending !== sending) return;
      if (!error.passing) {
        takeBack();
        set({refusal: {...told(error), about: "Your order was not placed"}});
        return;
      }
      failures++;
      set({trouble: error});
      await sleep(Math.max(error.wait, backoff(failures)));
      await visible();
    }
  }
}

const told = ({title, detail}) => ({title, detail});

const motion = () => (matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth");

// takeBack puts what was sent into the basket again.
function takeBack() {
  for (const {cookie, quantity} of state.sending.order.items) {
    state.basket[cookie] = Math.min(maxQuantity, (state.basket[cookie] ?? 0) + quantity);
  }
  state.sending = null;
  saved.write("sending", null);
  saved.write("basket", state.basket);
}

function stopSending() {
  if (!state.sending) return;
  takeBack();
  set({
    refusal: {
      about: "You stopped the order",
      title: "",
      detail: "The bakery may have received it before. If so, it is baked without being listed here.",
    },
  });
}

async function cancelOrder(id) {
  if (state.cancelling.has(id)) return;
  state.cancelling.add(id);
  draw();
  let refusal = null;
  try {
    receive(await call("cashier", {method: "DELETE", query: {order: id}}));
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    refusal = {...told(error), about: "The order was not cancelled"};
  }
  state.cancelling.delete(id);
  set({refusal});
  orderPoll.wake();
  shopPoll.wake();
}

function orderAgain(id) {
  for (const {cookie, quantity} of state.orders.get(id)?.order.items ?? []) {
    if (state.menu?.has(cookie)) {
      state.basket[cookie] = Math.min(maxQuantity, (state.basket[cookie] ?? 0) + quantity);
    }
  }
  saved.write("basket", state.basket);
  set({live: "The cookies of that order are in the basket."});
  parts.basket.scrollIntoView({block: "nearest", behavior: motion()});
  parts.basket.focus({preventScroll: true});
}
