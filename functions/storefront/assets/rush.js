// A rush: a day of a till, replayed by this page through the cashier's public API. It is bounded, can be
// stopped, and counts what it really sent.
const {h, count, duration} = await import(new URL("?asset=dom.js", import.meta.url));
const {call, ordersOf, Trouble, newKey, sleep} = await import(new URL("?asset=api.js", import.meta.url));

const maxShops = 50;
const senders = 4; // calls at once: a browser has six connections for everything
const maxRate = 20; // orders a second
const lookAt = 50; // orders in one look; the cashier allows 100
const tries = 5; // for one order
const spread = 10 * 60; // seconds: the other shops repeat an order up to so much later

// A Rush is one replay, with its options and what came of it.
export class Rush {
  options = {shops: 5, speed: 0, restock: true};
  running = false;
  sent = 0; // orders that the page has sent, however they ended
  accepted = 0;
  served = 0;
  refused = 0; // by the bakery, for good
  failed = 0; // not answered after all tries
  retries = 0;
  ended = ""; // why it is over
  #day = null;
  #menu = new Map();
  #open = new Set(); // accepted and not served yet
  #changed;
  #run = 0; // counts up, so that what an earlier run left behind ends

  constructor(changed) {
    this.#changed = changed;
    fetch(new URL("?asset=day.json", import.meta.url))
      .then((answer) => answer.json())
      .then(
        (day) => {
          this.#day = day;
          changed();
        },
        () => changed(),
      );
  }

  // know tells the rush of the menu and of BAKE_SPEED, which is its speed unless another is chosen.
  know(menu, speed) {
    this.#menu = menu ?? this.#menu;
    this.options.speed ||= speed;
    this.bakeSpeed = speed;
  }

  set(options) {
    if (this.running) return;
    Object.assign(this.options, options);
    this.#changed();
  }

  get day() {
    return this.#day;
  }

  get total() {
    return this.#sales().length * this.options.shops;
  }

  // lasts is how long sending takes, in ms: as the till recorded it, but not faster than this page may send.
  get lasts() {
    const last = this.#sales().at(-1)?.[0] ?? 0;
    return Math.max(
      ((last + (this.options.shops > 1 ? spread : 0)) * 1000) / this.options.speed,
      (this.total * 1000) / maxRate,
    );
  }

  // throttled reports whether the orders come later than the till recorded them.
  get throttled() {
    const last = this.#sales().at(-1)?.[0] ?? 0;
    return this.total / maxRate > (last + spread) / this.options.speed;
  }

  #sales() {
    return this.#day?.orders ?? [];
  }

  // needs is what the fridge needs for all of it, in grams. The last tray of a cookie may be eaten in part.
  needs() {
    const pieces = {};
    for (const [, items] of this.#sales()) {
      for (const [cookie, n] of Object.entries(items)) {
        pieces[cookie] = (pieces[cookie] ?? 0) + n * this.options.shops;
      }
    }
    const amounts = {};
    for (const [cookie, n] of Object.entries(pieces)) {
      const bake = this.#menu.get(cookie);
      if (!bake) continue;
      for (const [name, g] of Object.entries(bake.ingredients)) {
        amounts[name] = (amounts[name] ?? 0) + g * (Math.ceil(n / bake.tray) + 1);
      }
    }
    return amounts;
  }

  // arrivals are all orders with the time at which each is due, in ms after the start.
  #arrivals() {
    const all = [];
    for (let shop = 1; shop <= Math.min(maxShops, this.options.shops); shop++) {
      for (const [second, items] of this.#sales()) {
        const late = shop === 1 ? 0 : Math.random() * spread;
        all.push({due: ((second + late) * 1000) / this.options.speed, shop, items});
      }
    }
    all.sort((a, b) => a.due - b.due);
    all.forEach((a, i) => (a.due = Math.max(a.due, (i * 1000) / maxRate)));
    return all;
  }

  async start() {
    if (this.running || this.total === 0) return;
    const run = ++this.#run;
    const queue = this.#arrivals();
    Object.assign(this, {
      running: true,
      sent: 0,
      accepted: 0,
      served: 0,
      refused: 0,
      failed: 0,
      retries: 0,
      ended: "",
    });
    this.#open.clear();
    this.#changed();
    const id = newKey().slice(0, 8);
    const began = performance.now();
    const on = () => this.#run === run && this.running;
    const looking = this.#look(run);
    let next = 0;
    await Promise.all(
      Array.from({length: senders}, async () => {
        while (on() && next < queue.length) {
          const i = next++;
          const wait = queue[i].due - (performance.now() - began);
          if (wait > 0) await sleep(wait);
          if (on()) await this.#send(queue[i], `rush-${id}-${i}`, on);
        }
      }),
    );
    if (on()) this.#end("All orders were sent.");
    await looking;
  }

  stop() {
    if (this.running) this.#end("You stopped it. Orders that were accepted are still baked and served.");
  }

  #end(why) {
    this.running = false;
    this.ended = why;
    this.#changed();
  }

  async #send({shop, items}, key, on) {
    const body = {
      customer: `rush, shop ${shop}`,
      items: Object.entries(items).map(([cookie, quantity]) => ({cookie, quantity})),
    };
    this.sent++;
    for (let n = 1; ; n++) {
      try {
        const order = await call("cashier", {method: "POST", body, key});
        this.accepted++;
        if (order.state === "served") this.served++;
        else this.#open.add(order.id);
        break;
      } catch (error) {
        if (!(error instanceof Trouble)) throw error;
        if (!error.passing) {
          this.refused++;
          break;
        }
        if (n === tries || !on()) {
          this.failed++;
          break;
        }
        this.retries++;
        await sleep(Math.max(error.wait, 500 * n));
      }
    }
    this.#changed();
  }

  // look counts the served orders, also for a while after the last was sent.
  async #look(run) {
    let quiet = 0;
    while (this.#run === run && (this.running || (this.#open.size > 0 && quiet < 60))) {
      await sleep(1000);
      const ids = [...this.#open].slice(0, lookAt);
      if (ids.length === 0) continue;
      const before = this.#open.size;
      try {
        const answer = await call("cashier", {query: {order: ids.join(",")}});
        for (const order of ordersOf(answer)) {
          if (order.state === "baking" || order.state === "ready") {
            this.#open.delete(order.id); // to the end, so that all get their turn
            this.#open.add(order.id);
            continue;
          }
          this.#open.delete(order.id);
          if (order.state === "served") this.served++;
          else this.refused++;
        }
      } catch (error) {
        if (!(error instanceof Trouble)) throw error;
      }
      quiet = this.#open.size === before && !this.running ? quiet + 1 : 0;
      this.#changed();
    }
  }

  get waiting() {
    return this.#open.size;
  }
}

const speeds = [60, 300, 600, 1200, 6000];

// rushPanel draws the rush with its options.
export function rushPanel(rush, busy) {
  const {options, day} = rush;
  if (!day) return h("p", {class: "hint"}, "The recorded day is not here yet.");
  const choices = [...new Set([...speeds, rush.bakeSpeed])].filter(Boolean).sort((a, b) => a - b);
  const select = (name, label, values, chosen) =>
    h(
      "label",
      {},
      label + " ",
      h(
        "select",
        {"data-do": name, disabled: rush.running},
        values.map((v) => h("option", {value: v, selected: v === chosen}, v.toLocaleString("en"))),
      ),
    );
  return [
    h(
      "p",
      {class: "hint"},
      `Replays ${day.source}, with ${count(day.orders.length, "order")} for each shop. This page `,
      "sends them to the cashier, as any customer could order.",
    ),
    h(
      "div",
      {class: "row"},
      select("shops", "Shops", [1, 5, 20, maxShops], options.shops),
      select("speed", "Times faster", choices, options.speed),
      h(
        "label",
        {class: "check"},
        h("input", {
          type: "checkbox",
          "data-do": "stocked",
          checked: options.restock,
          disabled: rush.running,
        }),
        " Restock first",
      ),
    ),
    h(
      "p",
      {},
      `${count(rush.total, "order")} in about ${duration(rush.lasts)}`,
      rush.throttled ? `, later than recorded: this page sends at most ${maxRate} a second.` : ".",
    ),
    h(
      "div",
      {class: "row"},
      rush.running
        ? h(
            "button",
            {type: "button", "data-do": "stop", class: "primary", "data-key": "stop"},
            "Stop the rush",
          )
        : h(
            "button",
            {type: "button", "data-do": "start", class: "primary", "data-key": "start", disabled: busy},
            "Start the rush",
          ),
    ),
    (rush.running || rush.ended) &&
      h(
        "div",
        {class: "result", "data-key": "result"},
        h("label", {}, "Sent", h("progress", {max: rush.total, value: rush.sent})),
        h(
          "p",
          {},
          `${rush.sent} sent: ${rush.accepted} accepted, ${rush.served} served, ${rush.waiting} baking, ` +
            `${rush.refused} refused, ${rush.failed} unanswered, ${count(rush.retries, "retry", "retries")}.`,
        ),
        rush.ended && h("p", {class: "hint"}, rush.ended),
      ),
  ];
}
