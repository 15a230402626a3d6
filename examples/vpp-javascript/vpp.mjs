// A virtual power plant of your own that takes part in a run: JavaScript, xmpp.js, and nothing of Gridparley.
//
//   python run.py slovenia --outside vpp2 --admit guests.toml --out runs/mine
//   NODE_EXTRA_CA_CERTS=runs/mine/server/ca.pem \
//     node examples/vpp-javascript/vpp.mjs --run runs/mine --jid vpp2@localhost --password secret
//
// It registers its chargers (1.x.2), bids once for each time (1.1.1, 6.1.2), passes activations on to its charging
// point operators (1.2.3, 6.2.2), measures, claims the volume (1.x.5) and answers for it (1.2.6, 1.2.7).
// docs/wire.md has the form of a message, docs/exchanges.md what it may say.
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { client, xml } from "@xmpp/client";

const QUARTER = 15 * 60e3, MINUTE = 60e3;
const text = { type: "string" };
const { values: options } = parseArgs({ options: {
  run: text, jid: text, password: text,
  product: { ...text, default: "krsko-mv-lv-congestion" }, // the DSO's product, by its id
  price: { ...text, default: "0.05" }, // EUR per kW and quarter of an hour
  share: { ...text, default: "0.5" }, // how much of its plan it offers to leave out
} });
const server = JSON.parse(readFileSync(`${options.run}/server/access.json`, "utf8"));
const [me, domain] = options.jid.split("@");
const xmpp = client({ service: `xmpp://${server.host}:${server.port}`, domain, username: me, password: options.password,
  userAgent: xml("user-agent", { id: randomUUID() }) });
const seen = new Set(), mine = new Map(), bids = new Map(), promises = new Map();
let number = 0, cpos = [];

const time = (told) => new Date(told).getTime(), iso = (at) => new Date(at).toISOString();
const sum = (numbers) => numbers.reduce((a, b) => a + b, 0), round = (x) => Math.round(x * 1e3) / 1e3;
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// ---- letters: a body of JSON, the ACL parameters in a form, a receipt for each

function say(to, performative, protocol, talk, content, answers, replyBy) {
  const id = `${me}-${++number}`;
  const fields = Object.entries({ performative, protocol, "conversation-id": talk, "reply-with": id, "in-reply-to": answers,
    "reply-by": replyBy && iso(replyBy), language: "json", ontology: "ev4eu-d5.1" }).filter(([, value]) => value);
  xmpp.send(xml("message", { to, type: "chat", id }, xml("body", {}, JSON.stringify(content)),
    xml("x", { xmlns: "jabber:x:data", type: "form" }, xml("title", {}, "spade:x:metadata"),
      ...fields.map(([name, value]) => xml("field", { var: name, type: "text-single" }, xml("value", {}, value)))),
    xml("request", { xmlns: "urn:xmpp:receipts" }))).catch(console.error);
  return id;
}

xmpp.on("stanza", (stanza) => {
  const { from, id, type } = stanza.attrs, form = stanza.getChild("x", "jabber:x:data");
  if (!stanza.is("message") || type === "error") return;
  if (stanza.getChild("request", "urn:xmpp:receipts"))
    xmpp.send(xml("message", { to: from, type: "chat" }, xml("received", { xmlns: "urn:xmpp:receipts", id })));
  if (!form || seen.has(`${from} ${id}`)) return;
  seen.add(`${from} ${id}`);
  const letter = { from, content: JSON.parse(stanza.getChildText("body")) };
  for (const field of form.getChildren("field")) letter[field.attrs.var] = field.getChildText("value");
  const talk = mine.get(letter["conversation-id"]);
  if (talk) talk.push(letter);
  else answer(letter).catch(console.error);
});

const reply = (letter, act, content, replyBy) =>
  say(letter.from, act, letter.protocol, letter["conversation-id"], { exchange: null, ...content }, letter["reply-with"], replyBy);

function ask(to, act, protocol, content, replyBy) { // opens a conversation; `next()` is its next letter
  const talk = { id: `${me}-talk-${++number}`, letters: [], waiting: [] };
  talk.push = (letter) => (talk.waiting.shift() ?? ((it) => talk.letters.push(it)))(letter);
  talk.next = async () => talk.letters.shift() ?? new Promise((done) => talk.waiting.push(done));
  mine.set(talk.id, talk);
  talk.opening = say(to, act, protocol, talk.id, content, undefined, replyBy);
  return talk;
}

// ---- time: the run's own, which nobody here may guess

const clock = async () => (await ask(`environment@${domain}`, "query-ref", "fipa-query", { exchange: "env.clock" }).next()).content;
const now = async () => time((await clock()).now);

async function sleepUntil(at) {
  for (let told = await clock(); time(told.now) < at; told = await clock())
    await pause(Math.max(20, (at - time(told.now)) / (told.speed || 3600)));
}

// ---- the course of the day

xmpp.on("online", async () => {
  await xmpp.send(xml("presence"));
  const directory = `directory@${domain}`;
  const entry = { exchange: "df.register", jid: options.jid, role: "vpp", services: ["congestion-management"], location: null };
  let done;
  while (!done) // the directory may not be there yet
    done = await Promise.race([ask(directory, "request", "fipa-request", entry).next(), pause(3000)]);
  console.log("registers:", done.performative, done.content);
  await sleepUntil((await now()) + 10 * MINUTE); // the DSO publishes its product first
  const search = { exchange: "df.search", service: `flexibility:${me}` };
  cpos = (await ask(directory, "query-ref", "fipa-query", search).next()).content.entries.map((each) => each.jid);
  for (const [cpo, report] of await reports()) {
    for (const bus of new Set(report.chargers.map((charger) => charger.location))) {
      const here = report.chargers.filter((charger) => charger.location === bus);
      const resource = { exchange: "1.x.2", resource_id: `${cpo}/${bus}`, product_id: options.product, cpo, location: bus,
        charger_ids: here.map((c) => c.charger_id), max_charge_kw: sum(here.map((c) => c.max_charge_kw)),
        max_discharge_kw: sum(here.map((c) => c.max_discharge_kw)), energy_kwh: sum(here.map((c) => c.capacity_kwh ?? 0)) };
      const told = await ask(`fmo@${domain}`, "request", "fipa-request", resource, (await now()) + 30 * MINUTE).next();
      console.log(bus, told.performative, told.content);
    }
  }
});

async function reports(kind = "status") { // 1.2.1 to each operator, and its answer 1.2.2
  const at = await now(), found = [];
  for (const cpo of cpos) {
    const query = { exchange: "1.2.1", request_id: `${me}-data-${++number}`, data_type: kind, timestamp: iso(at) };
    const told = await ask(cpo, "query-ref", "fipa-query", query, at + 2 * MINUTE).next();
    if (told.performative === "inform") found.push([cpo, told.content]);
  }
  return found;
}

// ---- what others ask

async function answer(letter) {
  const { content, performative: act } = letter, what = `${act} ${content.exchange}`;
  if (what === "cfp 1.x.7" || what === "cfp 6.1.1") return bid(letter, content);
  if (what === "request 1.2.3" || what === "request 6.2.1") return activate(letter, content);
  if (what === "query-ref 1.2.6") return tellMeasured(letter, content);
  if (what === "request 1.2.7") return pay(letter, content);
  if (act === "cancel") return callOff(letter);
  if (act === "reject-proposal") return bids.delete(content.bid_id);
  if (act === "accept-proposal") {
    bids.get(content.bid_id).power = content.cleared_power_kw ?? content.power_kw;
    console.log("awarded", content);
    return reply(letter, "inform", { reference: content.bid_id });
  }
  if (["request", "query-ref", "cfp", "subscribe"].includes(act))
    reply(letter, "refuse", { code: "not-here", reason: `no answer to ${what}` });
}

async function bid(letter, call) { // a share of what the operators plan to draw, below what is needed; once for each time
  const start = time(call.start), end = time(call.end), id = `${me}-bid-${++number}`;
  if ([...bids.values()].some((other) => other.start < end && start < other.end))
    return reply(letter, "refuse", { code: "sold", reason: "I have bid for this time already" });
  const mine = { start, end, power: 0, baseline: Array((end - start) / QUARTER).fill(0), service: call.service, agreed: [] };
  bids.set(id, mine);
  for (const [, report] of await reports()) {
    const first = Math.floor((start - time(report.plan_start)) / QUARTER);
    mine.baseline = mine.baseline.map((kw, k) => round(kw + (report.planned_kw[first + k] ?? 0)));
  }
  mine.power = Math.floor(Math.min(call.power_needed_kw, options.share * Math.min(...mine.baseline)) * 10) / 10;
  if (mine.power < 1 || Number(options.price) > Number(call.max_price_eur_per_kw)) {
    bids.delete(id);
    return reply(letter, "refuse", { code: "no-offer", reason: `${mine.power} kW at ${options.price} EUR` });
  }
  const offer = { bid_id: id, timestamp: iso(await now()), power_kw: mine.power, baseline_kw: mine.baseline,
    price_eur_per_kw: Number(options.price).toFixed(2), ...(call.exchange === "6.1.1"
      ? { exchange: "6.1.2", pool_id: call.pool_id }
      : { exchange: "1.1.1", market_id: call.market_id, location: call.congestion_point, start: call.start, end: call.end,
        min_power_kw: 0 }) };
  console.log("bids", offer);
  return reply(letter, "propose", offer, start);
}

async function activate(letter, order) { // to each operator its part: the most that its chargers may draw
  const pool = order.exchange === "6.2.1", promise = bids.get(order.bid_id);
  const told = { exchange: pool ? "6.2.5" : "1.2.4", activation_id: order.activation_id };
  const refuse = (reason) => reply(letter, "refuse", { ...told, ...(pool && { accepted: false }), available_power_kw: 0, reason });
  if (!promise || promise.activation || order.power_kw > promise.power + 1e-6) return refuse("not awarded, or activated already");
  Object.assign(promise, { activation: order.activation_id, power: order.power_kw });
  promises.set(order.activation_id, promise).set(letter["conversation-id"], promise);
  const rated = (await reports()).map(([cpo, report]) => [cpo, sum(report.chargers.map((c) => c.max_charge_kw))]);
  let available = 0;
  for (const [cpo, kw] of rated) {
    const part = kw / sum(rated.map(([, each]) => each));
    const { ceiling_kw, discharge_limits, ...theirs } = order;
    const content = { ...theirs, exchange: pool ? "6.2.2" : "1.2.3", power_kw: round(part * order.power_kw),
      ceiling_kw: promise.baseline.map((base) => round(part * (base - order.power_kw))) };
    const due = Math.min(promise.start, time(letter["reply-by"]) - MINUTE);
    const talk = ask(cpo, "request", "fipa-request", content, due), said = await talk.next();
    if (said.performative !== "agree") continue;
    available += said.content.available_power_kw;
    promise.agreed.push([cpo, talk]);
  }
  if (!promise.agreed.length) return refuse("no driver takes part");
  told.available_power_kw = Math.round(Math.min(available, order.power_kw) * 10) / 10;
  reply(letter, "agree", { ...told, ...(pool && { accepted: true }) });
  console.log("activated", told);
  return deliver(letter, promise);
}

async function deliver(letter, promise) { // reads the registers at each quarter, says when it is over, claims the volume
  const readings = []; // time and kWh of all chargers together
  for (let at = promise.start; at <= promise.end; at += QUARTER) {
    await sleepUntil(at);
    const all = (await reports("measurements")).map(([, report]) => report);
    readings.push([Math.max(...all.map((r) => time(r.timestamp))), sum(all.flatMap((r) => r.chargers.map((c) => c.meter_kwh ?? 0)))]);
  }
  promise.measured = readings.slice(1).map(([at, kwh], k) => round((kwh - readings[k][1]) / ((at - readings[k][0]) / 3600e3)));
  if (promise.calledOff) return;
  for (const [, talk] of promise.agreed) await talk.next(); // done, or it failed
  reply(letter, "inform", { reference: promise.activation });
  await sleepUntil(promise.end + 5 * MINUTE);
  const delivered = promise.baseline.map((base, k) => round(Math.max(0, Math.min(promise.power, base - promise.measured[k]))));
  const volume = { exchange: "1.x.5", activation_id: promise.activation, baseline_kw: promise.baseline,
    measured_kw: promise.measured, delivered_kw: delivered, delivered_energy_kwh: sum(delivered) / 4 };
  const said = await ask(letter.from.split("/")[0], "propose", "fipa-propose", volume, (await now()) + 5 * MINUTE).next();
  console.log("volume", said.performative, delivered, said.content.reason);
}

function callOff(letter) {
  const promise = promises.get(letter["conversation-id"]);
  promise.calledOff = true;
  const end = { exchange: null, reference: promise.activation, reason: "the service is no longer needed" };
  for (const [cpo, talk] of promise.agreed) say(cpo, "cancel", "fipa-request", talk.id, end, talk.opening);
  return reply(letter, "inform", { reference: promise.activation });
}

function tellMeasured(letter, { exchange, activation_id, start, end }) {
  const promise = promises.get(activation_id);
  if (!promise?.measured) return reply(letter, "refuse", { code: "no-measurements", reason: "nothing was measured for it" });
  return reply(letter, "inform", { exchange, activation_id, start, end, service: promise.service, period_minutes: 15,
    power_kw: promise.measured, baseline_kw: promise.baseline });
}

function pay(letter, { exchange, bill_id, amount_eur, payee }) {
  if (payee !== options.jid) return reply(letter, "refuse", { code: "not-mine", reason: `${payee} is not me` });
  console.log("billed", amount_eur);
  return reply(letter, "inform", { exchange, bill_id, transaction_id: bill_id, amount_eur });
}

xmpp.on("error", (error) => console.error(String(error)));
await xmpp.start();
