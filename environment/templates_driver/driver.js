"use strict";
// Shows a session as it goes on: the same page, fetched each second; what changes is put in its place.
const main = document.getElementById("main");
const numbers = ["clock", "soc", "kw", "kwh", "cost", "left"];

async function look() {
  let next;
  try {
    const answer = await fetch("/", { cache: "no-store" });
    next = new DOMParser().parseFromString(await answer.text(), "text/html");
  } catch {
    return; // the run is over, or busy: the last numbers stay
  }
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

setInterval(look, 1000);
