// Calls of the bakery's functions, over the gateway that the page came from.

// The functions are siblings of the page: of /PREFIX/function/storefront.NAMESPACE/ the cashier is
// /PREFIX/function/cashier.NAMESPACE.
const [, prefix, own] = location.pathname.match(/^(.*\/)function\/([^/]+)/) ?? [null, "/", "storefront"];
const namespace = own.includes(".") ? own.slice(own.indexOf(".")) : "";

const patience = 20_000; // ms for an answer

// Trouble is a call that failed: what happened and what to do, for people. If passing is true, the same call
// may succeed later.
export class Trouble extends Error {
  constructor({title, detail, status = 0, passing = true, wait = 0}) {
    super(title);
    Object.assign(this, {title, detail, status, passing, wait});
  }
}

// call calls a function and returns the JSON of its answer.
export async function call(name, {method = "GET", query = {}, body, key, manager} = {}) {
  const headers = {Accept: "application/json"};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (key) headers["Idempotency-Key"] = key;
  if (manager) headers.Authorization = "Bearer " + manager;
  const address = `${prefix}function/${name}${namespace}?${new URLSearchParams(query)}`;
  const limit = AbortSignal.timeout(patience);
  let answer, text;
  try {
    answer = await fetch(address, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
      signal: limit,
    });
    text = await answer.text();
  } catch {
    throw new Trouble({
      title: "The bakery cannot be reached",
      detail: limit.aborted
        ? `The gateway did not answer within ${patience / 1000} s.`
        : "The gateway does not answer. Check your connection.",
    });
  }
  if (answer.ok) {
    try {
      return JSON.parse(text);
    } catch {
      throw new Trouble({
        title: "The answer cannot be read",
        detail: `The ${name} did not answer with JSON.`,
      });
    }
  }
  throw troubleOf(name, answer, text);
}

// troubleOf tells the answer of a function, which knows what is wrong, from one that the gateway gave instead.
function troubleOf(name, answer, text) {
  const {status} = answer;
  const passing = status >= 500 || status === 429 || status === 408;
  const wait = 1000 * (Number(answer.headers.get("Retry-After")) || 0);
  const {title, detail} = parse(text);
  if (title && answer.headers.get("X-Function-Answer") === "true") {
    return new Trouble({title, detail: sentence(detail), status, passing, wait});
  }
  if (status === 404) {
    return new Trouble({
      title: "The shop is closed",
      detail: `This gateway has no function ${name}${namespace}. Whoever runs the bakery has to deploy it.`,
      status,
    });
  }
  const said = detail || text.trim().slice(0, 200) || answer.statusText;
  return new Trouble({
    title: passing ? "The shop is closed for the moment" : "The gateway refused the call",
    detail: sentence(`The gateway answered ${status}: ${said}`),
    status,
    passing,
    wait,
  });
}

// parse reads a problem (RFC 9457). The gateway's own errors may be plain text.
function parse(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

// sentence makes a sentence of a message.
function sentence(text = "") {
  const trimmed = text.trim();
  if (!trimmed) return "";
  return trimmed[0].toUpperCase() + trimmed.slice(1) + (/[.!?]$/.test(trimmed) ? "" : ".");
}

// ordersOf are the orders of an answer of the cashier, which answers one id with the order itself.
export const ordersOf = (answer) => ("orders" in answer ? (answer.orders ?? []) : [answer]);

// newKey is an Idempotency-Key. (crypto.randomUUID exists only on https and on loopback.)
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

// visible resolves once somebody can see the page.
export function visible() {
  if (!document.hidden) return Promise.resolve();
  return new Promise((done) => {
    const look = () => {
      if (document.hidden) return;
      document.removeEventListener("visibilitychange", look);
      done();
    };
    document.addEventListener("visibilitychange", look);
  });
}

// backoff is how long to wait after so many failures in a row: 1 s at first, 15 s at most.
export const backoff = (failures) => Math.min(15_000, 1000 * 2 ** (failures - 1));

// Poll runs a step again and again while the page is visible and the step wants it: it returns the
// milliseconds until the next one, or nothing to stop until wake is called.
export class Poll {
  #step;
  #running = false;
  #awake = () => {};
  #again = false;

  constructor(step) {
    this.#step = step;
  }

  async wake() {
    this.#again = true;
    this.#awake();
    if (this.#running) return;
    this.#running = true;
    try {
      while (this.#again) {
        this.#again = false;
        await visible();
        const pause = await this.#step();
        if (this.#again || pause === undefined) continue;
        this.#again = true;
        await Promise.race([sleep(pause), new Promise((done) => (this.#awake = done))]);
      }
    } finally {
      this.#running = false;
    }
  }
}
