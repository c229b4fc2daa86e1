"use strict";
// Without this file everything works too, by reloading; with it the page follows what happens.

const known = new Map(); // id of an item -> its HTML as the server last gave it

function merge(list, fresh) {
  const wanted = new Set();
  let before = list.firstElementChild;
  for (const item of [...fresh.children]) {
    wanted.add(item.id);
    const html = item.outerHTML;
    const old = document.getElementById(item.id);
    if (old && known.get(item.id) === html) {
      before = old.nextElementSibling;
      continue;
    }
    known.set(item.id, html);
    if (old) {
      const open = old.querySelector("details")?.open;
      const details = item.querySelector("details");
      if (details && open !== undefined) details.open = open;
      if (before === old) before = old.nextElementSibling;
      old.replaceWith(item);
    } else {
      item.classList.add("new");
      list.insertBefore(item, before);
    }
  }
  for (const item of [...list.children]) {
    if (!wanted.has(item.id)) item.remove();
  }
}

async function refresh() {
  const answer = await fetch("/items");
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const id of ["faxes", "mails"]) merge(document.getElementById(id), fresh.getElementById(id));
}

function follow() {
  const live = document.getElementById("live");
  const news = new EventSource("/events");
  news.onopen = () => { live.textContent = "live"; live.classList.remove("gone"); };
  news.onmessage = refresh;
  news.onerror = () => { live.textContent = "the demo has ended"; live.classList.add("gone"); };
}

for (const form of document.querySelectorAll("form[action]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const said = form.querySelector(".said");
    const button = form.querySelector("button");
    button.disabled = true;
    try {
      const answer = await fetch(form.action, { method: "POST", body: new FormData(form), headers: { Accept: "application/json" } });
      const told = await answer.json();
      said.textContent = told.said;
      said.classList.toggle("no", !answer.ok);
    } catch {
      said.textContent = "The demo does not answer.";
      said.classList.add("no");
    }
    said.hidden = false;
    button.disabled = false;
  });
}

for (const button of document.querySelectorAll(".copy")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.parentElement.querySelector("pre").textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}

const large = document.getElementById("large");
document.addEventListener("click", (event) => {
  const link = event.target.closest(".pages a");
  if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    large.querySelector("img").src = link.href;
    large.showModal();
  } else if (event.target === large || event.target.parentElement === large) {
    large.close();
  }
});

for (const id of ["faxes", "mails"]) {
  for (const item of document.getElementById(id).children) known.set(item.id, item.outerHTML);
}
follow();
