// Requests to the server, and what the page says about them.

const byId = id => document.getElementById(id);

// titles and ids come from data: they are set as text, never as markup
function make(tag, className, text, parent) {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  parent.append(node);
  return node;
}

// each call ends the request that the call before it began, so that no late answer replaces a newer one
function newest() {
  let controller = new AbortController();
  return () => {
    controller.abort();
    controller = new AbortController();
    return controller.signal;
  };
}

class Fault extends Error {
  // whether the same request may succeed later
  constructor(message, passing) {
    super(message);
    this.passing = passing;
  }
}

async function ask(path, signal, body) {
  const sent = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  let answer, content;
  try {
    answer = await fetch(path, { ...sent, signal });
    content = await answer.json();
  } catch (error) {
    if (signal.aborted) throw error;
    throw new Fault("The server does not answer.", true);
  }
  if (!answer.ok) throw new Fault(content.error || `The server answers ${answer.status}.`, answer.status >= 500);
  return content;
}

// messages of different requests stand side by side: none replaces the fault of another
const said = new Map();
function say(who, text, failed = false, passing = false) {
  said.set(who, { text, failed, passing });
  const all = [...said.values()], anyFailed = all.some(message => message.failed);
  byId("status").textContent = [...new Set(all.map(message => message.text))].filter(Boolean).join(" ");
  byId("status").className = anyFailed ? "error" : "";
  byId("retry").hidden = !all.some(message => message.passing);
}

// for screen readers: changes of the page that are in sight anyway
function speak(text) {
  byId("spoken").textContent = text;
}

async function attempt(who, signal, work) {
  try {
    await work();
  } catch (error) {
    if (!signal.aborted) say(who, error.message, true, error.passing);
  }
}
