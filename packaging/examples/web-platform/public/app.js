// Log in, get a token, connect to the broker, show what comes.

const ROOM = "rooms/lobby";
const RETRY_MS = 2000, MESSAGES_SHOWN = 100;
const element = (id) => document.getElementById(id);
let client;

async function post(path, body = {}) {
  const answer = await fetch(`/api/${path}`, { method: "POST", headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body) });
  const result = answer.headers.get("Content-Type")?.includes("json") ? await answer.json() : {};
  return { status: answer.status, ...result };
}

function show(name, notice = "") {
  element("entrance").hidden = name !== undefined;
  element("room").hidden = name === undefined;
  element("name").textContent = name ?? "";
  element("notice").textContent = notice;
}

function showMessage(text) {
  const item = document.createElement("li"), time = document.createElement("time");
  time.textContent = new Date().toLocaleTimeString();
  item.append(time, text);
  element("messages").prepend(item);
  while (element("messages").childElementCount > MESSAGES_SHOWN) element("messages").lastChild.remove();
}

// A token is good for one connection. When that ends there is a new one, as long as the session lasts.
async function connect() {
  const { status, url, username, password, clientId } = await post("mqtt-token").catch(() => ({ status: 0 }));
  if (status === 401) return show(undefined, "Your session has ended.");
  if (status !== 200) return setTimeout(connect, RETRY_MS);
  client = mqtt.connect(url, { username, password, clientId, protocolVersion: 5, reconnectPeriod: 0 });
  client.on("connect", async () => {
    await client.subscribeAsync([ROOM, "announcements/#"]).catch((error) => showMessage(error.message));
    element("state").textContent = "connected";
  });
  client.on("message", (topic, payload) => showMessage(`${topic}: ${payload}`));
  client.on("error", (error) => console.warn(error.message));
  client.on("close", () => {
    element("state").textContent = "away";
    if (!client.leaving) setTimeout(connect, client.connectedOnce ? 0 : RETRY_MS);
  });
  client.on("connect", () => { client.connectedOnce = true; });
}

function enter(name) {
  show(name);
  connect();
}

element("entrance").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { name, password } = Object.fromEntries(new FormData(event.target));
  const result = await post(event.submitter.value, { name, password });
  if (result.status === 200) enter(result.name);
  else show(undefined, result.error ?? "That did not work.");
});

element("say").addEventListener("submit", (event) => {
  event.preventDefault();
  client.publish(ROOM, `${element("name").textContent}: ${event.target.text.value}`);
  event.target.reset();
});

element("leave").addEventListener("click", async () => {
  client.leaving = true;
  client.end();
  await post("logout");
  element("messages").replaceChildren();
  show(undefined);
});

const me = await fetch("/api/me");
if (me.ok) enter((await me.json()).name);
else show(undefined);
