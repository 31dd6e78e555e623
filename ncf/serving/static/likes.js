// The visitor's likes: raw ids, kept in this browser alone.

const LIKES_KEY = "ncf-likes", MAX_LIKES = 100, MAX_ID_LENGTH = 512;
const NOT_KEPT = "This browser keeps nothing for this page: your likes are gone when you close it.";
let likes = storedLikes(), areKept = true;

function storedLikes() {
  try {
    const stored = JSON.parse(localStorage.getItem(LIKES_KEY));
    const isId = value => typeof value === "string" && value && [...value].length <= MAX_ID_LENGTH;
    return Array.isArray(stored) ? [...new Set(stored.filter(isId))].slice(0, MAX_LIKES) : [];
  } catch {
    return [];
  }
}

function setLikes(changed) {
  likes = changed;
  try {
    localStorage.setItem(LIKES_KEY, JSON.stringify(likes));
    areKept = true;
  } catch {
    areKept = false;
  }
  render();
}

function toggleLike(item) {
  const name = titles.get(item) || item;
  say(setLikes, "");
  if (likes.includes(item)) {
    setLikes(likes.filter(other => other !== item));
    speak(`${name} is no longer among your likes`);
  } else if (likes.length < MAX_LIKES) {
    setLikes([...likes, item]);
    speak(`${name} is among your likes`);
  } else say(setLikes, `${MAX_LIKES} likes are the most; remove some first.`, true);
}

function showLikes() {
  const section = byId("likes"), chips = section.querySelector(".chips"), focused = [...chips.children]
    .indexOf(document.activeElement);
  section.querySelector(".note").textContent = !areKept ? NOT_KEPT : likes.length
    ? "Kept in this browser only. Choose one to remove it."
    : "None yet. Like some titles, and recommendations for you follow; no account is needed.";
  chips.replaceChildren();
  likes.forEach(item => {
    const name = titles.get(item) || item, chip = make("button", "remove", name, chips);
    chip.type = "button";
    chip.dir = "auto";
    chip.setAttribute("aria-label", `Remove ${name} from your likes`);
    chip.onclick = () => toggleLike(item);
  });
  byId("clear").hidden = !likes.length;
  if (focused >= 0) (chips.children[Math.min(focused, likes.length - 1)] || byId("likes-name")).focus();
}

// titles of likes that no list has shown yet
async function nameLikes(signal) {
  const unnamed = likes.filter(item => !titles.has(item));
  if (!unnamed.length) return;
  const answer = await ask("invocations", signal, { user: unnamed[0], items: unnamed });
  answer.items.forEach(entry => titles.set(entry.item, entry.title || entry.item));
}

byId("clear").onclick = () => {
  setLikes([]);
  speak("All your likes are removed");
  byId("likes-name").focus();
};
addEventListener("storage", event => {
  if (event.key !== LIKES_KEY && event.key !== null) return;
  likes = storedLikes();
  render();
});
