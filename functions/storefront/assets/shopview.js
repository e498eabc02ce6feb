// What the shop looks like: it draws the state that shop.js keeps.
const load = (name) => import(new URL("?asset=" + name, import.meta.url));
const {h, show, picture, troubleNote, money, count, duration} = await load("dom.js");
const {orderCard, summary} = await load("order.js");

export const maxQuantity = 1000; // of one cookie, as the cashier has it

let state;
let parts; // of the page

// attach says which state is drawn, and onto which parts of the page.
export function attach(ofShop, ofPage) {
  state = ofShop;
  parts = ofPage;
}

export const titleOf = (cookie) => state.menu?.get(cookie)?.title ?? cookie;

export const inBasket = () =>
  Object.entries(state.basket).filter(([cookie]) => !state.menu || state.menu.has(cookie));

export function draw() {
  drawTrouble();
  drawOrders();
  drawDisplay();
  drawMenu();
  drawBasket();
  if (parts.live.textContent !== state.live) parts.live.textContent = state.live;
}

function drawTrouble() {
  const {trouble, refusal} = state;
  show(
    parts.trouble,
    trouble && troubleNote(trouble),
    refusal &&
      h(
        "div",
        {class: "note refusal", role: "alert", "data-key": "refusal"},
        h(
          "p",
          {},
          h("strong", {}, refusal.about + (refusal.title ? `: ${refusal.title}. ` : ". ")),
          refusal.detail,
        ),
        h("button", {class: "quiet", "data-do": "dismiss", type: "button"}, "Close"),
      ),
  );
}

export function drawOrders() {
  const {sending} = state;
  const cards = state.ids
    .map((id) => state.orders.get(id))
    .filter(Boolean)
    .map(({order, at}) =>
      orderCard(order, performance.now() - at, state.menu, state.cancelling.has(order.id)),
    );
  if (cards.length === 0 && !sending) {
    show(parts.orders);
    return;
  }
  show(
    parts.orders,
    h("h2", {}, "Your orders"),
    sending &&
      h(
        "div",
        {class: "order sending", "data-key": "sending"},
        h(
          "p",
          {},
          h("strong", {}, "Sending your order … "),
          summary({items: sending.order.items}, state.menu),
          ". It is placed once, however often it is sent.",
        ),
        state.trouble && h("button", {type: "button", "data-do": "stop"}, "Stop trying"),
      ),
    ...cards,
  );
}

function drawDisplay() {
  const shelves = [...state.display].filter(([cookie, pieces]) => pieces > 0 && state.menu?.has(cookie));
  show(
    parts.display,
    h("h2", {id: "display-title"}, "On display now"),
    shelves.length === 0
      ? h(
          "p",
          {class: "hint"},
          state.menu
            ? "Nothing is on display. What you order is baked for you."
            : "The page asks the bakery …",
        )
      : h(
          "ul",
          {class: "shelf"},
          shelves.map(([cookie, pieces]) =>
            h(
              "li",
              {"data-key": cookie},
              h(
                "button",
                {type: "button", "data-do": "add", "data-cookie": cookie, class: "piece"},
                picture(cookie),
                h("span", {class: "name"}, titleOf(cookie)),
                h("span", {class: "pieces"}, count(pieces, "piece")),
                h("span", {class: "sr"}, ": add one to the basket"),
              ),
            ),
          ),
        ),
  );
}

function drawMenu() {
  const cards = [...(state.menu?.values() ?? [])].map((bake) => {
    const {name} = bake;
    const quantity = state.basket[name] ?? 0;
    const pieces = state.display.get(name) ?? 0;
    const short = state.short.get(name);
    return h(
      "li",
      {class: "card", "data-key": name},
      picture(name),
      h("h3", {}, bake.title),
      h(
        "p",
        {class: "meta"},
        h("span", {class: "price"}, money(bake.price_cents)),
        ` · ${bake.minutes} min`,
        h("span", {class: "sr"}, " in the oven"),
      ),
      pieces > 0
        ? h("p", {class: "badge fresh"}, `${pieces} on display`)
        : short
          ? h("p", {class: "badge short"}, `Fridge is short of ${short}`)
          : null,
      stepper(name, bake.title, quantity),
    );
  });
  show(
    parts.menu,
    h("h2", {id: "menu-title"}, "Menu"),
    state.menu &&
      h(
        "p",
        {class: "hint"},
        state.speed === 1
          ? "Ovens bake in real time."
          : `This bakery's clock runs ${state.speed.toLocaleString("en")} times faster: ` +
              `12 minutes in the oven take ${duration((12 * 60_000) / state.speed)}.`,
      ),
    state.menu
      ? h("ul", {class: "cards"}, cards)
      : h(
          "ul",
          {class: "cards", "aria-hidden": "true"},
          Array.from({length: 8}, (_, i) => h("li", {class: "card empty", "data-key": "empty" + i})),
        ),
  );
}

function stepper(cookie, title, quantity) {
  if (quantity === 0) {
    return h(
      "button",
      {class: "add", type: "button", "data-do": "add", "data-cookie": cookie},
      "Add",
      h("span", {class: "sr"}, ` ${title} to the basket`),
    );
  }
  return h(
    "div",
    {class: "stepper", role: "group", "aria-label": `${title} in the basket`},
    h(
      "button",
      {type: "button", "data-do": "less", "data-cookie": cookie, "aria-label": `One ${title} less`},
      "−",
    ),
    h("input", {
      type: "number",
      min: 0,
      max: maxQuantity,
      inputmode: "numeric",
      value: quantity,
      "data-do": "quantity",
      "data-cookie": cookie,
      "aria-label": `Pieces of ${title}`,
    }),
    h(
      "button",
      {
        type: "button",
        "data-do": "add",
        "data-cookie": cookie,
        "aria-label": `One ${title} more`,
        disabled: quantity >= maxQuantity,
      },
      "+",
    ),
  );
}

function drawBasket() {
  const items = inBasket();
  const pieces = items.reduce((sum, [, n]) => sum + n, 0);
  const total = items.reduce((sum, [cookie, n]) => sum + n * (state.menu?.get(cookie)?.price_cents ?? 0), 0);
  show(
    parts.basket,
    h("h2", {id: "basket-title"}, "Your basket"),
    items.length === 0
      ? h("p", {class: "hint"}, "The basket is empty. Add something from the menu.")
      : h(
          "form",
          {"data-do": "place"},
          h(
            "ul",
            {class: "lines"},
            items.map(([cookie, n]) =>
              h(
                "li",
                {"data-key": cookie},
                picture(cookie, "small"),
                h(
                  "span",
                  {class: "name"},
                  titleOf(cookie),
                  h("span", {class: "sum"}, money(n * (state.menu?.get(cookie)?.price_cents ?? 0))),
                ),
                stepper(cookie, titleOf(cookie), n),
              ),
            ),
          ),
          h(
            "label",
            {class: "field"},
            "Your name, if you like",
            h("input", {
              type: "text",
              maxlength: 80,
              autocomplete: "given-name",
              value: state.customer,
              "data-do": "customer",
            }),
          ),
          h("p", {class: "total"}, h("span", {}, count(pieces, "piece")), h("strong", {}, money(total))),
          h(
            "button",
            {class: "primary", disabled: Boolean(state.sending)},
            state.sending ? "Sending the order before …" : "Order",
          ),
        ),
  );
  show(
    parts.dock,
    pieces > 0 &&
      h("a", {href: "#basket", class: "primary"}, `Basket: ${count(pieces, "piece")}, ${money(total)}`),
  );
}
