// The phone: its keys, its screen, its inbox, and the strip beside it. Everything it knows comes from the API next to it.

const $ = (id) => document.getElementById(id);
const words = JSON.parse($("words").textContent);
const { code, shortcode } = document.body.dataset;
const page = document.documentElement.lang;
const fine = matchMedia("(pointer: fine)");

let phone = "";
let mode = "idle";
let session = "";
let ends = false; // the page on the screen asks nothing any more
let turn = 0; // an answer that comes after the phone moved on is not shown
let back; // where the left key leads from a note; none: back to the idle screen
let messages = new Map();
let unread = new Set();
let reading = 0;
let sentAt = 0; // when the message left whose answer is awaited
let arrived = ""; // how long that answer took, as it is said
let hungUp = Promise.resolve(); // the network hears of the end of a session before it hears anything else

const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
const make = (tag, text, className) => Object.assign(document.createElement(tag), { textContent: text, className: className ?? "" });

// --- the network ------------------------------------------------------------------------------------------------------

async function ask(path, body) {
  const how = body && { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  const response = await fetch(`api/${path}`, how);
  if (!response.ok) throw new Error(await response.text());
  return response.json();
}

async function hop(path, body, busy) {
  const mine = ++turn;
  $("busy").textContent = busy;
  show("wait");
  sentAt = performance.now(); // the answer to a message may be here before its own hop is
  arrived = words.on_its_way;
  let came;
  try {
    await hungUp;
    came = await ask(path, body);
  } catch {
    came = { network: "down" };
  }
  if (came.strip && body.phone === phone) drawStrip(came.strip);
  if (mine !== turn) return;
  if (came.network) {
    session = "";
    note(words[`network_${came.network}`]);
  } else if (came.hop.channel === "ussd") {
    if (came.live) showPage(came);
    else note(words.network_session);
  } else {
    if (sentAt) note(came.hop.channel === "missed" ? words.missed : words.sent);
    else newMessage();
    poll();
  }
}

function showPage(came) {
  session = came.session;
  ends = came.hop.ends;
  $("page").textContent = came.hop.page;
  $("page").lang = came.hop.lang;
  $("answer").value = "";
  $("answer").hidden = ends;
  show("ussd");
  $("page").parentElement.scrollTop = 0;
  announce(came.hop.page);
  if (!ends && fine.matches) $("answer").focus({ preventScroll: true });
}

const dial = (number) => hop("dial", { phone, code: number }, words.waiting);

function answer() {
  const text = $("answer").value.trim();
  if (text) hop("answer", { phone, session, text }, words.waiting);
}

function send() {
  const text = $("text").value.trim();
  if (!text) return;
  $("text").value = "";
  hop("sms", { phone, text }, words.sending);
}

function hangUp() {
  turn++;
  if (session || mode === "wait") hungUp = ask("hangup", { phone }).catch(() => {});
  session = "";
  ends = false;
}

// --- the screen -------------------------------------------------------------------------------------------------------

function show(next) {
  mode = next;
  for (const section of document.querySelectorAll("[data-mode]")) section.hidden = section.dataset.mode !== next;
  // The browser leaves the focus in a hidden field until it draws the next time; what is typed meanwhile would go there.
  if (document.activeElement?.closest("[data-mode][hidden]")) document.activeElement.blur();
  const [left, right] = {
    idle: [words.idle_messages, words.idle_write],
    dial: [words.key_call, words.key_clear],
    wait: ["", words.key_cancel],
    ussd: ends ? [words.key_ok, ""] : [words.key_send, words.key_cancel],
    note: back ? [words.key_open, words.key_back] : [words.key_ok, ""],
    inbox: [words.key_open, words.key_back],
    read: [words.key_reply, words.key_back],
    compose: [words.key_send, words.key_back],
  }[next];
  $("left").textContent = $("left-said").textContent = left;
  $("right").textContent = $("right-said").textContent = right;
  $("drop").disabled = !(session && !ends);
}

function announce(text) {
  $("live").textContent = text;
}

function note(text, then) {
  back = then;
  $("note").textContent = text;
  show("note");
  announce(text);
}

function idle() {
  $("number").textContent = "";
  show("idle");
}

function openInbox() {
  drawInbox();
  show("inbox");
  choose(1);
}

function openMessage(id) {
  const message = messages.get(id);
  reading = id;
  unread.delete(id);
  $("message").textContent = message.text;
  $("message").lang = message.template.split("/").pop();
  $("when").textContent = time(message.at);
  drawInbox();
  show("read");
  announce(message.text);
}

function compose(text = "") {
  $("text").value = text;
  show("compose");
  if (fine.matches || text) $("text").focus({ preventScroll: true });
}

const time = (at) => new Date(at).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });

function drawInbox() {
  const list = [...messages.values()].sort((a, b) => b.id - a.id);
  const chosen = document.activeElement?.dataset.message;
  $("list").replaceChildren(
    ...list.map((message) => {
      const item = make("button", "", unread.has(message.id) ? "unread" : "");
      item.type = "button";
      item.dataset.message = message.id;
      const first = make("span", message.text.split("\n")[0]);
      first.lang = message.template.split("/").pop();
      item.append(first, make("small", time(message.at)));
      const row = document.createElement("li");
      row.append(item);
      return row;
    }),
  );
  if (chosen) document.querySelector(`[data-message="${chosen}"]`)?.focus({ preventScroll: true });
  $("none").hidden = list.length > 0;
  $("count").textContent = unread.size ? `${unread.size} / ${list.length}` : list.length || "";
  $("envelope").hidden = !unread.size;
}

/** Move the choice in the list on the screen. */
function choose(step) {
  const items = [...document.querySelectorAll("[data-mode]:not([hidden]) .menu button")];
  if (!items.length) {
    document.querySelector("[data-mode]:not([hidden]) :is(.page, .dialog)")?.scrollBy({ top: 60 * step });
    return;
  }
  const at = items.indexOf(document.activeElement);
  const next = at < 0 ? (step > 0 ? 0 : items.length - 1) : (at + step + items.length) % items.length;
  items[next].focus();
}

// --- the keys ---------------------------------------------------------------------------------------------------------

function type(char) {
  if (mode === "note" || (mode === "ussd" && ends)) idle();
  if (mode === "idle" || mode === "dial") {
    $("number").textContent = (mode === "dial" ? $("number").textContent : "") + char;
    show("dial");
  } else if ((mode === "ussd" && !ends) || mode === "compose") {
    const field = mode === "ussd" ? $("answer") : $("text");
    field.setRangeText(char, field.selectionStart, field.selectionEnd, "end");
    field.scrollLeft = field.scrollWidth;
  }
}

function erase() {
  if (mode === "dial") {
    $("number").textContent = $("number").textContent.slice(0, -1);
    if (!$("number").textContent) show("idle");
  } else if (mode === "ussd" && !ends) {
    $("answer").value = $("answer").value.slice(0, -1);
  }
}

const green = {
  idle: () => {
    $("number").textContent = code;
    show("dial");
  },
  dial: () => dial($("number").textContent),
  wait: () => {},
  ussd: () => (ends ? idle() : answer()),
  note: () => (back ?? idle)(),
  inbox: () => {
    const chosen = document.activeElement?.dataset.message ?? document.querySelector("[data-message]")?.dataset.message;
    if (chosen) openMessage(Number(chosen));
  },
  read: () => compose(),
  compose: send,
};

const right = {
  idle: () => compose(),
  dial: erase,
  read: openInbox,
};

const keys = {
  green: () => green[mode](),
  red: () => {
    hangUp();
    idle();
  },
  left: () => (mode === "idle" ? openInbox() : green[mode]()),
  right: () => (right[mode] ?? keys.red)(),
  up: () => choose(-1),
  down: () => choose(1),
  select: () => (document.activeElement?.closest(".menu") ? document.activeElement.click() : keys.left()),
  erase,
};

const press = (key) => (keys[key] ?? (() => type(key)))();

function light(key) {
  const button = document.querySelector(`[data-key="${key}"]`);
  button?.classList.add("down");
  setTimeout(() => button?.classList.remove("down"), 130);
}

// A key under the mouse leaves the focus where it is, as a key of a phone does.
document.addEventListener("mousedown", (event) => {
  if (event.target.closest(".phone button, .buttons button")) event.preventDefault();
});

document.querySelector(".phone").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!document.activeElement?.closest(".phone")) document.activeElement?.blur(); // whoever takes the phone types on it
  if (!button) return;
  const { key, dial: number, sms, go, message, word } = button.dataset;
  if (key) press(key);
  else if (number) dial(number);
  else if (sms) hop("sms", { phone, text: sms }, words.sending);
  else if (go) openInbox();
  else if (message) openMessage(Number(message));
  else if (word) {
    $("text").value = word;
    if (fine.matches) $("text").focus();
  }
});

const NAMED = { Enter: "green", Escape: "red", Backspace: "erase", ArrowUp: "up", ArrowDown: "down" };

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const target = event.target;
  const ours = target === $("answer") || target === $("text");
  const writes = ours || target.matches("input, textarea");
  const key = NAMED[event.key] ?? (/^[0-9*#]$/.test(event.key) ? event.key : "");
  if (!key) return;
  if (writes && !(ours && (key === "green" || key === "red"))) return;
  if (target === $("text") && event.shiftKey) return;
  if (key === "green" && target.matches("button, a, select")) return;
  if ((key === "up" || key === "down") && target.matches("select")) return;
  event.preventDefault();
  if (!ours && key.length === 1) target.blur(); // from now on Enter is the green key
  light(key);
  press(key);
});

// --- the inbox --------------------------------------------------------------------------------------------------------

let polling; // the look that is under way

function poll(first = false) {
  if (!first && !document.body.dataset.ready) return;
  polling ??= look(first).finally(() => (polling = undefined));
  return polling;
}

async function look(first) {
  const whose = phone;
  try {
    // messages leave side by side, so one with a smaller number may come later: look back a little
    let after = Math.max(0, ...messages.keys()) - 20;
    for (let more = true; more; ) {
      const rows = await ask(`inbox?phone=${encodeURIComponent(whose)}&after=${Math.max(0, after)}`);
      if (whose !== phone) return;
      const fresh = rows.filter((row) => !messages.has(row.id));
      for (const row of fresh) messages.set(row.id, row);
      if (!first) for (const row of fresh) unread.add(row.id);
      if (fresh.length) drawInbox();
      more = rows.length === 50;
      after = Math.max(after, ...rows.map((row) => row.id));
      if (!first && fresh.length) arrive(fresh);
    }
  } catch {
    // the server is away: the next look will tell
  }
}

function arrive(fresh) {
  if (sentAt) {
    const seconds = ((performance.now() - sentAt) / 1000).toFixed(2);
    sentAt = 0;
    $("arrived").textContent = arrived = fill(words.arrived_after, { seconds });
  }
  if (mode === "idle" || mode === "note") newMessage();
}

function newMessage() {
  note(words.new_message, () => openMessage(Math.max(...unread)));
}

setInterval(() => document.hidden || poll(), 1000);

// --- the strip --------------------------------------------------------------------------------------------------------

const row = (id, on) => ($(id).parentElement.hidden = !on);
const millis = (micros) => (micros / 1000).toFixed(2);

/** A screen's name, which may break behind its dots and underscores. */
function screenName(name) {
  const parts = name.split(/(?<=[._])/).flatMap((part) => [part, document.createElement("wbr")]);
  const shown = document.createElement("code");
  shown.append(...parts);
  return shown;
}

function drawStrip(strip) {
  const last = strip.hops[0];
  $("no-hop").hidden = Boolean(last);
  $("hop").hidden = !last;
  $("repeat").disabled = !last;
  $("slow").setAttribute("aria-pressed", strip.slow);
  if (last) {
    const used = Math.min(1, last.units / last.limit);
    $("fill").style.width = `${100 * used}%`;
    $("fill").className = used > 0.95 ? "full" : used > 0.8 ? "near" : "";
    $("meter").ariaValueMax = last.limit;
    $("meter").ariaValueNow = last.units;
    $("units").textContent = fill(words.units_of, last);
    $("encoding").textContent = words[`encoding_${last.encoding}`];
    $("pages").textContent = `${last.number} / ${last.pages}`;
    $("parts").textContent = fill(words[`parts_${last.channel === "ussd" ? "ussd" : "sms"}`], last);
    $("time").textContent = fill(words.millis, { millis: millis(last.micros) });
    row("same", last.again);
    $("same").textContent = last.same ? words.yes : words.no;
    row("arrived", last.channel !== "ussd" && !last.again && arrived !== ""); // a page loaded anew does not know
    $("arrived").textContent = arrived;
  }
  $("place").replaceChildren(strip.at ? screenName(`${strip.flow}.${strip.at}`) : words.nowhere);
  $("lang").textContent = words[`lang_${strip.lang || "none"}`];
  $("tries").textContent = strip.tries;
  $("held").textContent = strip.held || words.none;
  const given = Object.entries(strip.answers);
  $("answers").replaceChildren(
    ...(given.length
      ? given.map(([name, value]) => {
          const chip = make("span", "", "chip");
          chip.append(make("b", name), ` ${value}`);
          return chip;
        })
      : [words.none]),
  );
  $("hops").replaceChildren(
    ...strip.hops.map((one) => {
      const line = document.createElement("tr");
      const said = make("td", one.channel === "ussd" ? one.said : `✉ ${one.said}`, "said");
      if (one.again) said.append(" ", make("em", words.again));
      const screen = document.createElement("td");
      screen.append(screenName(one.screen));
      line.append(said, screen, make("td", `${one.units}/${one.limit}`), make("td", millis(one.micros)));
      return line;
    }),
  );
}

$("repeat").addEventListener("click", async () => {
  try {
    const came = await ask("repeat", { phone });
    drawStrip(came.strip);
    if (came.live && mode === "ussd" && came.session === session) showPage(came);
  } catch {
    note(words.network_down);
  }
});

$("drop").addEventListener("click", () => {
  hangUp();
  note(words.network_session);
});

$("slow").addEventListener("click", async () => {
  const on = $("slow").getAttribute("aria-pressed") !== "true";
  try {
    $("slow").setAttribute("aria-pressed", (await ask("slow", { on })).slow);
  } catch {
    note(words.network_down);
  }
});

// --- whose phone ------------------------------------------------------------------------------------------------------

async function take(number) {
  hangUp();
  delete document.body.dataset.ready;
  phone = number;
  sessionStorage.setItem("phone", number);
  messages = new Map();
  unread = new Set();
  sentAt = 0;
  idle();
  drawInbox();
  const strip = await ask(`strip?phone=${encodeURIComponent(number)}`);
  await polling; // the look into the inbox of the phone before
  if (number !== phone) return; // another one was taken meanwhile
  drawStrip(strip);
  await poll(true);
  document.body.dataset.ready = phone;
}

function option(number, label) {
  const one = make("option", `${label} · ${number}`);
  one.value = number;
  return one;
}

$("who").addEventListener("change", () => take($("who").value));

let asked = 0;
$("find").addEventListener("input", () => {
  clearTimeout(asked);
  asked = setTimeout(search, 200);
});
$("find").addEventListener("keydown", (event) => {
  if (event.key === "Escape") $("find").value = "";
  if (event.key === "Escape") search();
});

async function search() {
  const q = $("find").value.trim();
  const found = q ? await ask(`phones?q=${encodeURIComponent(q)}`) : [];
  if (q !== $("find").value.trim()) return;
  $("found").hidden = !q;
  $("found").replaceChildren(
    ...found.map((one) => {
      const item = document.createElement("li");
      const button = make("button", one[page] || one.en);
      button.type = "button";
      button.append(make("small", `CA ${one.account} · ${one.phone}`));
      button.addEventListener("click", () => {
        if (![...$("who").options].some((known) => known.value === one.phone)) $("who").append(option(one.phone, one[page] || one.en));
        $("who").value = one.phone;
        $("find").value = "";
        search();
        take(one.phone);
      });
      item.append(button);
      return item;
    }),
  );
  if (q && !found.length) $("found").append(make("li", words.find_none, "faint"));
}

function tick() {
  const now = new Date();
  $("clock").textContent = time(now);
  $("today").textContent = now.toLocaleDateString(page === "hi" ? "hi-IN" : "en-IN", { weekday: "long", day: "numeric", month: "long" });
}

tick();
setInterval(tick, 10_000);
const demo = await ask("phones");
$("who").append(...demo.map((one) => option(one.phone, words[`label_${one.label}`] ?? one.label)));
const before = sessionStorage.getItem("phone");
if (before && !demo.some((one) => one.phone === before)) $("who").append(option(before, ""));
$("who").value = before ?? demo[0].phone;
await take($("who").value);
