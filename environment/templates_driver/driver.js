"use strict";
// Shows a session as it goes on: the same page, fetched each second; what changes is put in its place.
// Before there is one: the time and the lowered prices, every three seconds; what a person has written stays.
const main = document.getElementById("main");
const numbers = ["clock", "soc", "kw", "kwh", "cost", "left"];

async function fetched(path) {
  try {
    const answer = await fetch(path, { cache: "no-store" });
    return answer.ok ? new DOMParser().parseFromString(await answer.text(), "text/html") : null;
  } catch {
    return null; // the run is over, or busy: what is shown stays
  }
}

async function look() {
  const next = await fetched("/");
  if (!next) return;
  const told = next.getElementById("main");
  const line = (at) => at.querySelector(".line")?.textContent;
  if (told.dataset.phase !== main.dataset.phase || line(told) !== line(main)) {
    location.reload();
    return;
  }
  for (const id of numbers) {
    const here = document.getElementById(id), there = next.getElementById(id);
    if (here && there && here.textContent !== there.textContent) here.textContent = there.textContent;
  }
  const here = main.querySelector(".battery"), there = told.querySelector(".battery");
  if (here && there) here.replaceWith(document.importNode(there, true));
}

const leaving = document.getElementById("leaving");
let proposed = leaving !== null && "proposed" in leaving.dataset;
for (const kind of ["input", "change", "focusin"]) leaving?.addEventListener(kind, () => { proposed = false; });

async function refresh() {
  const next = await fetched("/now");
  if (!next) return;
  document.getElementById("clock").textContent = next.getElementById("clock").textContent;
  const here = document.getElementById("lowered"), there = next.getElementById("lowered");
  if (here && there && here.textContent !== there.textContent) here.replaceWith(document.importNode(there, true));
  if (!proposed) return;
  document.getElementById("departure").value = next.getElementById("departure").value;
  const day = document.getElementById("day"), days = next.getElementById("day");
  day.replaceChildren(...[...days.options].map((each) => document.importNode(each, true)));
  day.value = days.value;
}

if ("live" in main.dataset) setInterval(look, 1000);
else if (["idle", "choosing"].includes(main.dataset.phase)) setInterval(refresh, 3000);
