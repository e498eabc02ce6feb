// The entry of the page: it loads the pictures, then the shop or the floor.
//
// A function cannot tell one path from another, so the query names a file (?asset=NAME), and a module imports
// another by a URL that it makes from its own.
const load = (name) => import(new URL("?asset=" + name, import.meta.url));

const page = document.querySelector("#page");
const view = new URLSearchParams(location.search).get("view");

try {
  const [pictures, {open}] = await Promise.all([
    fetch(new URL("?asset=cookies.svg", import.meta.url)).then((answer) => answer.text()),
    load(view === "floor" ? "floor.js" : "shop.js"),
  ]);
  const sheet = new DOMParser().parseFromString(pictures, "image/svg+xml").documentElement;
  sheet.setAttribute("class", "sheet");
  sheet.setAttribute("aria-hidden", "true");
  document.body.append(document.importNode(sheet, true));
  open(page);
} catch (error) {
  console.error(error);
  const text = document.createElement("p");
  text.className = "opening";
  text.setAttribute("role", "alert");
  text.textContent = "The gateway did not send the whole page. It is loaded again in a few seconds.";
  page.replaceChildren(text);
  setTimeout(() => location.reload(), 5000);
}
