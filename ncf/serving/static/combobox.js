// A field with a list of suggestions: https://www.w3.org/WAI/ARIA/apg/patterns/combobox/

const SUGGEST_AFTER_MS = 120;

// suggest(text, signal): promise of [{ value, label }]; choose(value): when one is chosen; submit(text, options): when
// the form is sent and none of the list is active. Returns a function that closes the list.
function combobox(form, suggest, choose, submit) {
  const input = form.querySelector("input"), list = form.querySelector("[role=listbox]"), suggesting = newest();
  let timer = 0, active = -1, options = [];

  function close() {
    clearTimeout(timer);
    suggesting();
    say(suggesting, "");
    list.hidden = true;
    activate(-1);
    input.setAttribute("aria-expanded", "false");
  }

  function activate(index) {
    active = index;
    [...list.children].forEach((option, other) => option.setAttribute("aria-selected", String(other === index)));
    if (index < 0) input.removeAttribute("aria-activedescendant");
    else input.setAttribute("aria-activedescendant", list.children[index].id);
  }

  function pick(option) {
    close();
    choose(option.value);
  }

  function open() {
    const signal = suggesting();
    say(suggesting, "");
    return attempt(suggesting, signal, async () => {
      options = await suggest(input.value, signal);
      list.replaceChildren();
      options.forEach((option, index) => {
        const node = make("li", "", option.label, list);
        node.id = `${list.id}-${index}`;
        node.dir = "auto";
        node.setAttribute("role", "option");
        node.onmousedown = event => event.preventDefault(); // the field keeps the focus
        node.onclick = () => pick(option);
      });
      activate(-1);
      list.hidden = !options.length;
      input.setAttribute("aria-expanded", String(Boolean(options.length)));
      speak(options.length ? `${options.length} suggestions` : "No suggestions");
    });
  }

  input.oninput = () => {
    clearTimeout(timer);
    timer = setTimeout(open, SUGGEST_AFTER_MS);
  };
  input.onclick = () => { if (list.hidden) open(); };
  input.onblur = close;
  input.onkeydown = event => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      if (list.hidden) open();
      else {
        const stops = list.children.length + 1; // one of them is the field itself
        activate((active + 1 + step + stops) % stops - 1);
      }
    } else if (event.key === "Escape") close();
  };
  form.onsubmit = event => {
    event.preventDefault();
    const chosen = active < 0 ? null : options[active];
    if (chosen) pick(chosen);
    else if (input.value.trim()) {
      close();
      submit(input.value);
    } else input.focus();
  };
  return close;
}
