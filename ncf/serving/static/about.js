// What the model is and how good it is, in words. What the server does not know is left out.

const percent = share => `${Math.round(share * 100)}%`;
const describing = newest();

function describe() {
  const signal = describing();
  say(describing, "");
  attempt(describing, signal, async () => {
    const about = await ask("page/about", signal);
    byId("what").textContent = describeModel(about);
    byId("quality").textContent = about.validation ? describeQuality(about.validation) : "";
    byId("quality").hidden = !about.validation;
    byId("about").hidden = false;
  });
}

function describeModel(about) {
  const days = about.first_date ? `, ${date(about.first_date)} to ${date(about.last_date)}` : "";
  const trained = about.trained_at ? ` Trained on ${date(about.trained_at.slice(0, 10))}.` : "";
  return `Recommendations by a neural network (${about.model}) that has learned from ${count(about.interactions)} `
    + `interactions of ${count(about.users)} users with ${count(about.items)} items${days}.${trained} `
    + `Model ${about.model_version}.`;
}

function describeQuality({ hr_at_10, ndcg_at_10, positives, candidates }) {
  const among = candidates ? `${count(candidates + 1)} items` : "a list of items";
  const heldBack = positives ? `${count(positives)} interactions` : "interactions";
  const chance = candidates ? `; by chance it would be ${percent(Math.min(1, 10 / (candidates + 1)))}` : "";
  return `How good it is: in a trial with ${heldBack} held back, it ranked ${percent(hr_at_10)} of them in the top 10 `
    + `of ${among}${chance} (HR@10 ${hr_at_10.toFixed(3)}). NDCG@10, which also counts the rank within the top 10, `
    + `is ${ndcg_at_10.toFixed(3)}; 1 is best.`;
}
