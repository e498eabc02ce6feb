// One order, as its customer sees it: which stage it has reached, and how far its bake is.
const {h, picture, money, duration, clock} = await import(new URL("?asset=dom.js", import.meta.url));

const steps = ["Ordered", "Mixed", "In the oven", "On display", "Served"];

export const isOpen = (order) => order.state === "baking" || order.state === "ready";

const ranks = {parked: 0, asked: 0, mixed: 1, in_oven: 2, baked: 3};

// stageOf says how far an order is: the index of the step that it is in, and a name for it. An order for
// several trays is as far as the last of them.
export function stageOf(order) {
  switch (order.state) {
    case "served":
      return {step: 4, name: "served"};
    case "ready":
      return {step: 3, name: "ready, and handed over now"};
    case "cancelled":
      return {step: -1, name: "cancelled"};
    case "refused":
      return {step: -1, name: "refused"};
  }
  const waits = order.waits_for ?? [];
  if (waits.some((t) => t.state === "parked")) return {step: 0, name: "waiting for ingredients"};
  if (waits.length > 0) {
    const step = Math.min(...waits.map((t) => ranks[t.state] ?? 0));
    return {
      step,
      name: [
        "waiting for the baker",
        "mixed, and waiting for an oven",
        "in the oven",
        "baked, and on its way",
      ][step],
    };
  }
  const {mixed, in_oven: oven, baked} = order.timeline;
  const step = baked ? 3 : oven ? 2 : mixed ? 1 : 0;
  return {step, name: ["ordered", "mixed", "in the oven", "baked"][step]};
}

// summary lists what an order is for: 6 × Scone, 2 × Brownie.
export function summary(order, menu) {
  return order.items.map((i) => `${i.quantity} × ${menu?.get(i.cookie)?.title ?? i.cookie}`).join(", ");
}

// orderCard draws an order. age is how long ago the cashier told of it, in ms: bakes go on meanwhile.
export function orderCard(order, age, menu, cancelling) {
  const stage = stageOf(order);
  const ended = stage.step < 0;
  return h(
    "article",
    {class: "order " + order.state, "data-key": order.id, "data-state": order.state},
    h(
      "header",
      {},
      h(
        "div",
        {class: "pictures"},
        order.items.slice(0, 3).map((i) => picture(i.cookie, "small")),
      ),
      h(
        "div",
        {class: "what"},
        h("h3", {}, summary(order, menu)),
        h(
          "p",
          {class: "hint"},
          `${clock(order.timeline.ordered)} · ${money(order.price_cents)}`,
          order.customer !== "guest" && ` · for ${order.customer}`,
        ),
      ),
      h("p", {class: "state"}, stage.name),
    ),
    ended
      ? h(
          "p",
          {class: "hint"},
          order.state === "cancelled"
            ? "You cancelled this order. What was baked for it goes to others."
            : `The bakery refused this order: ${order.reason || "no reason was given"}.`,
        )
      : h(
          "ol",
          {class: "steps"},
          steps.map((name, i) => stepItem(name, i, stage.step, order)),
        ),
    stage.step === 2 && order.state === "baking" && ovens(order, age, menu),
    order.state === "baking" && h("p", {class: "hint eta"}, etaText(order)),
    h(
      "div",
      {class: "actions"},
      order.state === "baking" &&
        h(
          "button",
          {
            type: "button",
            "data-do": "cancel",
            "data-order": order.id,
            disabled: cancelling,
          },
          cancelling ? "Cancelling …" : "Cancel the order",
        ),
      !isOpen(order) &&
        h("button", {type: "button", "data-do": "again", "data-order": order.id}, "Order again"),
      !isOpen(order) &&
        h(
          "button",
          {
            type: "button",
            class: "quiet",
            "data-do": "forget",
            "data-order": order.id,
          },
          "Remove",
          h("span", {class: "sr"}, " from this list"),
        ),
    ),
  );
}

function stepItem(name, i, current, order) {
  const {ordered, mixed, in_oven: oven, on_display: shown, served} = order.timeline;
  const at = [ordered, mixed, oven, shown, served][i];
  const past = i < current || (i === current && current === 4);
  return h(
    "li",
    {
      class: past ? "past" : i === current ? "now" : "",
      "aria-current": i === current ? "step" : null,
    },
    h("span", {class: "dot", "aria-hidden": "true"}),
    h("span", {class: "step"}, name),
    // a cookie on display may have been baked for somebody else, before
    h("span", {class: "time"}, i > current || !at ? "" : at < ordered ? "before" : clock(at)),
  );
}

// ovens shows the bakes that the order waits for, the longest first.
function ovens(order, age, menu) {
  const baking = (order.waits_for ?? []).filter((t) => t.state === "in_oven");
  return h(
    "ul",
    {class: "bakes"},
    baking.slice(0, 4).map((t) => {
      const done = Math.min(t.needs_ms, t.since_ms + age);
      const title = menu?.get(t.cookie)?.title ?? t.cookie;
      return h(
        "li",
        {"data-key": t.tray},
        h("label", {}, `${title}, tray ${t.tray}`, h("progress", {max: t.needs_ms, value: Math.round(done)})),
        h("span", {class: "left"}, done >= t.needs_ms ? "done" : duration(t.needs_ms - done) + " left"),
      );
    }),
    baking.length > 4 && h("li", {}, `and ${baking.length - 4} more trays`),
  );
}

function etaText(order) {
  if (order.eta_seconds === null) {
    return "The fridge is out of an ingredient. Your order keeps its place, and is baked after a restock.";
  }
  if (order.eta_seconds === undefined) return "";
  return `Served in about ${duration(order.eta_seconds * 1000)}.`;
}
