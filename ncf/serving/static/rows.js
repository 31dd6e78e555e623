// Lists of items: a row each, with a button for similar items and one to like it.

const K = 10, MORE = 100;
const SVG = "http://www.w3.org/2000/svg";
const HEART = "M12 20.5 4.2 12.6a5 5 0 0 1 7.1-7l.7.8.7-.8a5 5 0 0 1 7.1 7z";
const titles = new Map();
const count = number => number.toLocaleString("en");
const date = iso => {
  const day = new Date(`${iso}T00:00:00Z`);
  return isNaN(day) ? iso : day.toLocaleDateString("en-GB", { dateStyle: "medium", timeZone: "UTC" });
};
const measures = {
  score: value => `score ${value.toFixed(2)}`,
  similarity: value => `similarity ${value.toFixed(2)}`,
  popularity: value => `${count(value)} interaction${value === 1 ? "" : "s"}`,
};

function hide(...ids) {
  ids.forEach(id => { byId(id).hidden = true; });
}

function fill(id, items, measure, note) {
  const section = byId(id), rows = section.querySelector("ol"), focused = document.activeElement;
  const index = [...rows.children].indexOf(focused?.closest(".row"));
  section.querySelector(".note").textContent = note;
  section.querySelector(".more")?.remove();
  rows.replaceChildren();
  append(id, items, measure);
  section.hidden = false;
  // whoever has liked an item here goes on at the same rank
  if (index >= 0) (rows.children[index] || rows.lastChild)?.querySelector(`.${focused.className}`).focus();
}

// measure: what the score of each is; "" to leave it out
function append(id, items, measure) {
  const rows = byId(id).querySelector("ol");
  items.forEach(entry => {
    const index = rows.children.length, name = entry.title || entry.item;
    titles.set(entry.item, name);
    const row = make("li", "row", "", rows);
    row.dataset.item = entry.item;
    row.hidden = index >= K;
    make("span", "rank", index + 1, row);
    const words = make("div", "words", "", row), meta = make("span", "meta", "", words);
    words.prepend(make("span", "title", name, words));
    words.firstChild.dir = "auto";
    if (entry.date) make("time", "", date(entry.date), meta).dateTime = entry.date;
    if (entry.title) make("span", "id", entry.item, meta);
    if (measure && typeof entry.score === "number") make("span", "score", measures[measure](entry.score), meta);
    const like = make("button", "heart", "", row), similar = make("button", "similar", "Similar", row);
    like.type = similar.type = "button";
    makeLike(like, entry.item, name);
    similar.setAttribute("aria-label", `Similar to ${name}`);
    similar.onclick = words.onclick = () => go(shown().user, entry.item);
  });
}

function makeLike(button, item, name, ...texts) {
  const svg = document.createElementNS(SVG, "svg"), path = document.createElementNS(SVG, "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", HEART);
  svg.append(path);
  button.replaceChildren(svg, ...texts);
  button.setAttribute("aria-label", `Like ${name}`);
  button.title = "Like";
  button.onclick = () => toggleLike(item);
}

// the item whose similar ones are shown, and the liked ones, look so in all lists
function mark(item) {
  document.querySelectorAll(".row").forEach(row => {
    row.classList.toggle("current", row.dataset.item === item);
    row.querySelector(".similar").setAttribute("aria-current", String(row.dataset.item === item));
    row.querySelector(".heart").setAttribute("aria-pressed", String(likes.includes(row.dataset.item)));
  });
  byId("like").setAttribute("aria-pressed", String(likes.includes(item)));
}

// the first K rows of a history are open; a button opens up to MORE others at a time and loads those that are missing
function unfold(total, loadFrom) {
  const section = byId("history"), rows = section.querySelector("ol");
  if (total <= K) return;
  const more = make("button", "more", "", section);
  more.type = "button";
  let open = K;
  const label = () => {
    more.textContent = total - open > MORE ? `Show ${MORE} more` : `Show all ${count(total)}`;
  };
  more.onclick = async () => {
    const wanted = Math.min(total, open + MORE);
    if (rows.children.length < wanted) {
      more.disabled = true;
      await loadFrom(rows.children.length);
      more.disabled = false;
      // another user is shown by now; or it failed and said so, and the button can be clicked again
      if (!more.isConnected || rows.children.length < wanted) return;
    }
    const first = rows.children[open];
    for (; open < wanted; open++) rows.children[open].hidden = false;
    if (open < total) label();
    else more.remove();
    first.querySelector(".similar").focus();
  };
  label();
}
