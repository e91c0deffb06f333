"use strict";
// The page calls the same endpoints as any gateway; all that comes from them is set as text, never as HTML.

const at = (id) => document.getElementById(id);
const state = { decision: null, models: [], banned: [], pinned: null, costs: [] };

async function call(method, path, body) {
  const headers = { "Content-Type": "application/json" };
  if (at("key").value) headers.Authorization = `Bearer ${at("key").value}`;
  const answer = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(content.error ? content.error.message : `the service answered ${answer.status}`);
  return content;
}

const named = (body) => (at("user").value ? { ...body, user: at("user").value } : body);
const userPath = () => `v1/users/${encodeURIComponent(at("user").value || "me")}`;

async function guarded(action) {
  at("error").hidden = true;
  try {
    await action();
  } catch (error) {
    at("error").textContent = error.message;
    at("error").hidden = false;
  }
}

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function button(text, label, pressed, action) {
  const made = element("button", text, { type: "button", "aria-label": label, title: label, "aria-pressed": pressed });
  made.addEventListener("click", () => guarded(action));
  return made;
}

function row(...cells) {
  const made = element("tr");
  for (const cell of cells) {
    const content = cell instanceof Node ? cell : document.createTextNode(cell);
    const made_cell = element("td");
    made_cell.append(content);
    made.append(made_cell);
  }
  return made;
}

function dollars(cost) {
  if (cost === null) return "unknown";
  return `$${(1000 * cost).toFixed(1000 * cost < 1 ? 2 : 1)}`;
}

const percent = (share) => `${Math.round(100 * share)} %`;

function group(...buttons) {
  const made = element("span", undefined, { class: "buttons" });
  made.append(...buttons);
  return made;
}

function limit() {
  const place = Number(at("cost").value);
  if (place >= 100 || !state.costs.length) return undefined;
  const [low, high] = [Math.min(...state.costs), Math.max(...state.costs)];
  return low > 0 ? low * (high / low) ** (place / 100) : low + ((high - low) * place) / 100 || undefined;
}

async function rank() {
  const candidates = [...document.querySelectorAll("#candidates input:checked")].map((box) => box.value);
  const body = named({ query: at("query").value, candidates });
  const prices = [...document.querySelectorAll("#candidates input[type=number]")].filter((price) => Number(price.value) !== 100);
  if (prices.length) body.prices = Object.fromEntries(prices.map((price) => [price.dataset.model, Number(price.value) / 100]));
  if (limit() !== undefined) body.max_cost = limit();
  const answer = await call("POST", "v1/route", body);
  state.decision = answer.decision_id;
  showRanking(answer);
  await showProfile();
}

function showRanking(answer) {
  const how = { history: "by what this user said before", cold_start: "by what users like on average" };
  const why = { pinned: "because it is pinned", session: "to keep the session's model" };
  const reason = why[answer.reason] || how[answer.basis];
  at("pick").replaceChildren(element("strong", answer.model), document.createTextNode(`, picked ${reason}.`));
  const share = (model) => {
    const cell = element("span");
    cell.append(element("meter", undefined, { min: 0, max: 1, value: model.probability }), ` ${percent(model.probability)}`);
    return cell;
  };
  const thumbs = (model) => group(
    button("good", `${model.model} is good`, false, () => thumb(model.model, "up")),
    button("bad", `${model.model} is bad`, false, () => thumb(model.model, "down")));
  const rows = answer.models.map((model) => row(model.model, share(model), dollars(model.expected_cost), thumbs(model)));
  at("models").replaceChildren(...rows);
  at("ranking").hidden = false;
  const costs = answer.models.map((model) => model.expected_cost).filter((cost) => cost !== null);
  if (costs.length > state.costs.length) state.costs = costs;
  showLimit();
}

function showLimit() {
  at("cost-text").textContent = limit() === undefined ? "any" : dollars(limit());
}

async function thumb(model, direction) {
  const id = `ui-${crypto.getRandomValues(new Uint32Array(4)).join("-")}`;
  await call("POST", "v1/feedback", named({ id, query: at("query").value, model, thumb: direction }));
  await rank();
}

async function showProfile() {
  const user = await call("GET", userPath());
  [state.pinned, state.banned] = [user.pin, user.ban];
  at("who").textContent = user.user;
  at("summary").replaceChildren(...user.summary.map((line) => element("li", line)));
  const judged = new Map(user.models.map((model) => [model.model, model]));
  at("judged").replaceChildren(...state.models.map((model) => judgedRow(model, judged.get(model))));
  at("note").textContent = "";
  at("profile").hidden = false;
}

function judgedRow(model, found) {
  const [pinned, banned] = [state.pinned === model, state.banned.includes(model)];
  const settings = group(
    button("pin", `always pick ${model}`, pinned, () => set({ pin: pinned ? null : model })),
    button("ban", `never pick ${model}`, banned, () =>
      set({ ban: banned ? state.banned.filter((other) => other !== model) : [...state.banned, model] })));
  const seen = found && found.judged;
  const liked = seen ? `${found.liked} of ${found.judged}` : "–";
  const interval = seen ? `${percent(found.share)} (${percent(found.low)} to ${percent(found.high)})` : "–";
  return row(model, liked, interval, settings);
}

async function set(body) {
  await call("PUT", userPath(), body);
  await rank();
}

async function start() {
  const models = await call("GET", "v1/models");
  state.models = models.data.map((model) => model.id);
  const box = (model) => {
    const label = element("label");
    const input = element("input", undefined, { type: "checkbox", value: model });
    input.checked = true;
    input.addEventListener("change", () => at("query").value && guarded(rank));
    const price = element("input", undefined, { type: "number", min: 0, max: 1000000, step: "any", value: 100 });
    price.setAttribute("aria-label", `price of ${model} in percent of today's`);
    price.dataset.model = model;
    price.addEventListener("change", () => at("query").value && guarded(rank));
    label.append(input, ` ${model} `, price, " %");
    return label;
  };
  at("boxes").replaceChildren(...state.models.map(box));
}

async function ready(action) {
  if (!state.models.length) await start();
  await action();
}

at("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  guarded(() => ready(rank));
});
at("cost").addEventListener("input", showLimit);
at("cost").addEventListener("change", () => at("query").value && guarded(() => ready(rank)));
at("reset").addEventListener("click", () => guarded(() => set({ reset: true })));
at("delete").addEventListener("click", () => guarded(async () => {
  const answer = await call("DELETE", userPath());
  await rank();
  at("note").textContent = answer.in_trained_router ? "Deleted. The trained router still knows this user." : "Deleted.";
}));

// #user=ann&query=Hello fills the form and asks at once
const wanted = new URLSearchParams(location.hash.slice(1));
for (const name of ["user", "query"]) if (wanted.get(name)) at(name).value = wanted.get(name);
guarded(async () => {
  if (wanted.get("query")) await ready(rank);
  else await start().catch(() => undefined); // a key may be needed first
});
