// What both views draw with: elements, updates in place, pictures, and numbers as people write them.

const svgTags = new Set(["svg", "use"]);

// h makes an element. An attribute that is true has no value; false, null and undefined leave it out.
export function h(tag, attributes = {}, ...children) {
  const element = svgTags.has(tag)
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return element;
}

// show makes the children of an element the given ones. Elements that are there already are changed and not
// replaced, so that focus, selection and scroll positions stay. data-key tells siblings apart. If the element
// with the focus is gone, the parent gets it.
export function show(parent, ...children) {
  const focused = document.activeElement;
  update(parent, h("div", {}, ...children));
  if (focused && !focused.isConnected) {
    parent.tabIndex = -1;
    parent.focus({preventScroll: true});
  }
}

function update(from, to) {
  const keyed = new Map();
  for (const child of from.children) {
    if (child.dataset.key) keyed.set(child.dataset.key, child);
  }
  let at = from.firstChild;
  for (const wanted of [...to.childNodes]) {
    const key = wanted.dataset?.key;
    const have = key ? keyed.get(key) : at;
    if (have && alike(have, wanted)) {
      if (have === at) at = at.nextSibling;
      else from.insertBefore(have, at);
      if (wanted.nodeType === Node.TEXT_NODE) {
        if (have.data !== wanted.data) have.data = wanted.data;
      } else {
        updateAttributes(have, wanted);
        update(have, wanted);
      }
    } else {
      from.insertBefore(wanted, at);
    }
  }
  while (at) {
    const rest = at.nextSibling;
    at.remove();
    at = rest;
  }
}

function alike(a, b) {
  return a.nodeName === b.nodeName && a.dataset?.key === b.dataset?.key;
}

function updateAttributes(from, to) {
  for (const {name} of [...from.attributes]) {
    if (!to.hasAttribute(name)) from.removeAttribute(name);
  }
  for (const {name, value} of to.attributes) {
    if (from.getAttribute(name) === value) continue;
    from.setAttribute(name, value);
    if (name === "value" && from.nodeName === "INPUT" && from !== document.activeElement) from.value = value;
  }
}

// picture draws a cookie, or a plain one if there is no picture of it.
export function picture(cookie, className = "picture") {
  const known = document.getElementById("art-" + cookie);
  return h(
    "svg",
    {class: className, viewBox: "0 0 96 96", "aria-hidden": "true"},
    h("use", {href: "#art-" + (known ? cookie : "any-cookie")}),
  );
}

// troubleNote says what the page cannot reach.
export function troubleNote({title, detail}) {
  return h(
    "div",
    {class: "note trouble", role: "alert", "data-key": "trouble"},
    h("p", {}, h("strong", {}, title + ". "), detail, " This page tries again by itself."),
    h("button", {type: "button", class: "quiet", "data-do": "retry"}, "Try now"),
  );
}

// act calls the handler that an event's nearest data-do names. If the control was drawn anew, or in another
// form, the focus goes there.
export function act(root, type, handlers) {
  root.addEventListener(type, (event) => {
    const target = event.target.closest?.("[data-do]");
    const handler = target && handlers[target.dataset.do];
    if (!handler || target.disabled) return;
    event.preventDefault();
    const {cookie} = target.dataset;
    const home = target.closest("[id]");
    const focused = target === document.activeElement;
    handler(target.dataset, target);
    if (!focused || target.isConnected || !cookie) return;
    home.querySelector(`[data-do="add"][data-cookie="${CSS.escape(cookie)}"]`)?.focus();
  });
}

export const money = (cents) => (cents / 100).toFixed(2);

export function count(n, one, many = one + "s") {
  return `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
}

// duration writes milliseconds as people do: 0.8 s, 34 s, 4 min 5 s, 2 h 10 min.
export function duration(ms) {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 10) return seconds.toFixed(1) + " s";
  if (seconds < 60) return Math.round(seconds) + " s";
  const minutes = Math.floor(seconds / 60);
  const rest = Math.round(seconds % 60);
  if (minutes < 60) return rest && minutes < 10 ? `${minutes} min ${rest} s` : `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export const clock = (time) => new Date(time).toLocaleTimeString([], {hour12: false});

// grams writes a weight in grams or kilograms.
export const grams = (g) =>
  g < 1000 ? `${g} g` : `${(g / 1000).toLocaleString("en", {maximumFractionDigits: 1})} kg`;
