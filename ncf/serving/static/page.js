// What is shown is in the address, so that links to it and the back button work: a user, an item, both or none.

const loading = newest(), comparing = newest(), starting = newest();
let loaded = null, loadedUser = null, compared = "";

function shown() {
  const parameters = new URLSearchParams(location.hash.slice(1));
  return { user: parameters.get("user") || "", item: parameters.get("item") || "" };
}

function go(user, item = "") {
  const parameters = Object.entries({ user, item }).filter(([, value]) => value);
  const hash = parameters.length ? `#${new URLSearchParams(parameters)}` : "#";
  if (location.hash === hash || location.hash === "" && hash === "#") render(true);
  else location.hash = hash;
}

function render(again = false) {
  const { user, item } = shown();
  closeUsers();
  closeTitles();
  if (byId("user").value !== user) byId("user").value = user;
  for (const id of ["likes", "start"]) byId(id).hidden = Boolean(user);
  byId("back").hidden = !user;
  showLikes();
  if (user !== loadedUser) {
    hide("recommended", "history");
    byId("about").open = !user || matchMedia("(min-width: 40rem)").matches; // leaves room for the lists on a phone
  }
  loadedUser = user;
  const wanted = JSON.stringify([user, user ? [] : likes]);
  if (again || wanted !== loaded) {
    loaded = wanted;
    if (user) loadUser(user);
    else loadLikes();
  }
  if (!user && (again || !byId("some").children.length)) loadUsers();
  if (again || byId("about").hidden) describe();
  byId("hint").hidden = Boolean(item);
  if (item && (again || item !== compared)) compare(item);
  else if (!item) {
    comparing();
    say(comparing, "");
    hide("similar");
  }
  compared = item;
  mark(item);
}

// what work shows, or what went wrong; after a fault the same is loaded again when it is asked for
function load(work) {
  const signal = loading(), wanted = loaded;
  say(loading, "Loading…");
  attempt(loading, signal, async () => {
    try {
      say(loading, await work(signal) || "");
    } catch (error) {
      if (!signal.aborted && loaded === wanted) loaded = null;
      throw error;
    }
    mark(shown().item);
  });
}

function showRecommended(name, answer, note) {
  byId("recommended-name").textContent = name;
  const popular = answer.source === "popular";
  fill("recommended", answer.items, popular ? "popularity" : "score", !answer.items.length
    ? "Nothing is left to recommend." : popular ? "Popular items, by number of interactions" : note);
  speak(`${name}: ${answer.items.length} items`);
}

function loadUser(user) {
  const historyFrom = (start, signal) => ask(`page/history?${new URLSearchParams({ user, start })}`, signal);
  load(async signal => {
    const [answer, history] = await Promise.all([
      ask("invocations", signal, { users: [user], k: K }), historyFrom(0, signal),
    ]);
    const [best] = answer.recommendations, dated = history.items[0]?.date, measure = dated ? "" : "score";
    showRecommended(`Recommended for user ${user}`, best, "Best first, by the model's score");
    fill("history", history.items, measure, !history.total ? "No history."
      : `${count(history.total)} items, ${dated ? "latest first" : "by the model's score"}`);
    unfold(history.total, start => attempt(loading, signal, async () => {
      append("history", (await historyFrom(start, signal)).items, measure);
      say(loading, "");
      mark(shown().item);
    }));
    return best.source === "popular" ? `The model does not know user ${user}: these are popular items.` : "";
  });
}

// recommendations for the visitor's likes; without any, popular items to choose from
function loadLikes() {
  load(async signal => {
    if (!likes.length) {
      const answer = await ask("page/titles?query=", signal);
      byId("recommended-name").textContent = "Popular items";
      fill("recommended", answer.items, "popularity", "Like some with the heart to get recommendations of your own.");
      return "";
    }
    const [answer] = await Promise.all([ask("invocations", signal, { history: likes, k: K }), nameLikes(signal)]);
    showLikes();
    showRecommended("Recommended for your likes", answer, "Best first, by the model's score");
    const unknown = answer.unknown?.length;
    return unknown ? `The model does not know ${unknown} of your likes.` : "";
  });
}

function loadUsers() {
  const signal = starting();
  say(starting, "");
  attempt(starting, signal, async () => {
    const { users } = await ask("page/users", signal);
    byId("some").replaceChildren();
    users.sort(new Intl.Collator("en", { numeric: true }).compare).forEach(user => {
      make("button", "", user, byId("some")).onclick = () => go(user);
    });
  });
}

function compare(item) {
  const signal = comparing();
  say(comparing, "");
  attempt(comparing, signal, async () => {
    const [answer, title] = await Promise.all([
      ask("invocations", signal, { item, k: K }).catch(error => { hide("similar"); throw error; }),
      titleOf(item, signal),
    ]);
    byId("similar-name").textContent = `Similar to ${title}`;
    fill("similar", answer.similar, "similarity",
      answer.similar.length ? "Most similar first, by cosine" : "There are no other items.");
    makeLike(byId("like"), item, title, "Like");
    mark(item);
    speak(`Similar to ${title}: ${answer.similar.length} items`);
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const beside = matchMedia("(min-width: 66rem)").matches;
    byId("similar").scrollIntoView({ block: beside ? "nearest" : "start", behavior: still ? "auto" : "smooth" });
  });
}

async function titleOf(item, signal) {
  if (!titles.has(item)) {
    const answer = await ask("invocations", signal, { user: item, items: [item] });
    titles.set(item, answer.items[0].title || item);
  }
  return titles.get(item);
}

const searching = newest();
const searchTitles = (text, signal) => ask(`page/titles?${new URLSearchParams({ query: text })}`, signal);

function chooseTitle(item) {
  byId("title").value = "";
  go(shown().user, item);
}

// without a choice from the list, the first match
function findTitle(text) {
  const signal = searching();
  say(searching, "");
  attempt(searching, signal, async () => {
    const { items } = await searchTitles(text, signal);
    if (items.length) chooseTitle(items[0].item);
    else say(searching, `No title matches “${text}”.`);
  });
}

const closeTitles = combobox(byId("title-form"), async (text, signal) => {
  const { items } = await searchTitles(text, signal);
  return items.map(({ item, title }) => ({ value: item, label: title || item }));
}, chooseTitle, findTitle);

const closeUsers = combobox(byId("user-form"), async (text, signal) => {
  const { users } = await ask(`page/users?${new URLSearchParams({ prefix: text })}`, signal);
  return users.map(user => ({ value: user, label: user }));
}, user => go(user), user => go(user));

byId("close").onclick = () => {
  const { user, item } = shown();
  go(user);
  const rows = [...document.querySelectorAll("#recommended .row, #history .row")];
  rows.find(row => row.dataset.item === item)?.querySelector(".similar").focus();
};
byId("retry").onclick = () => render(true);
addEventListener("hashchange", () => render());
render();
