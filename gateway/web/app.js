// SPDX-License-Identifier: MIT
// The search page: one question at a time over POST /collections/NAME/search. No framework; text from documents only ever
// goes into text nodes.
"use strict";

const $ = (id) => document.getElementById(id);
const PAGE = 10;
let shown = { query: "", collection: "", count: 0 };

async function call(method, path, body) {
  const headers = {};
  const key = sessionStorage.getItem("lode-key");
  if (key) headers["api-key"] = key;
  if (body) headers["content-type"] = "application/json";
  const reply = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  const json = await reply.json().catch(() => ({}));
  if (reply.status === 401) $("key-form").hidden = false;
  if (!reply.ok) throw new Error(json.status?.error || `the server answered ${reply.status}`);
  return json;
}

function say(text, error) {
  $("status").textContent = text;
  $("status").classList.toggle("error", Boolean(error));
}

function element(tag, className, text) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
}

// Offsets from the server are bytes of UTF-8; JavaScript strings count UTF-16 units.
function cutBytes(text, start, end) {
  const bytes = new TextEncoder().encode(text);
  const decode = (from, to) => new TextDecoder().decode(bytes.subarray(from, to));
  return [decode(0, start), decode(start, end), decode(end, bytes.length)];
}

function marked(parent, text, span) {
  if (!span) {
    parent.append(text);
    return null;
  }
  const [before, inside, after] = cutBytes(text, span.start, span.end);
  const mark = element("mark", "", inside);
  parent.append(before, mark, after);
  return mark;
}

function hitElement(hit) {
  const item = element("li", "hit");
  item.append(element("span", "score", hit.score.toFixed(3)));
  const title = element("h2");
  const open = element("button", "", hit.title || hit.document_id || String(hit.id));
  open.type = "button";
  open.addEventListener("click", () => read(hit).catch((e) => say(e.message, true)));
  title.append(open);
  const where = [hit.heading !== hit.title && hit.heading, hit.source].filter(Boolean).join("  ·  ");
  const passage = element("p", "passage");
  marked(passage, hit.text ?? JSON.stringify(hit.metadata), hit.sentence);
  item.append(title, element("p", "where", where), passage);
  return item;
}

async function read(hit) {
  if (!hit.document_id) return;
  const path = `/collections/${encodeURIComponent(shown.collection)}/documents/${encodeURIComponent(hit.document_id)}`;
  const doc = (await call("GET", path)).result;
  $("reader-title").textContent = doc.title || doc.id;
  $("reader-source").textContent = doc.source;
  $("reader-text").replaceChildren();
  const mark = marked($("reader-text"), doc.text, hit);
  $("reader").showModal();
  mark?.scrollIntoView({ block: "center" });
}

async function search(more) {
  const query = $("query").value.trim();
  const collection = $("collection").value;
  if (!query || !collection) return;
  if (!more) {
    shown = { query, collection, count: 0 };
    $("hits").replaceChildren();
    history.replaceState(null, "", `/?q=${encodeURIComponent(query)}&c=${encodeURIComponent(collection)}`);
  }
  say("Searching…");
  const began = performance.now();
  const reply = await call("POST", `/collections/${encodeURIComponent(shown.collection)}/search`, {
    query: shown.query, limit: PAGE, offset: shown.count, per_document: true,
  });
  const ms = performance.now() - began;
  shown.count += reply.hits.length;
  $("hits").append(...reply.hits.map(hitElement));
  $("more").hidden = reply.hits.length < PAGE;
  const cut = reply.lode.plan.query_truncated ? " The question was longer than the model reads; its end was left out." : "";
  say(shown.count ? `${shown.count} documents, each with its best passage · ${reply.lode.plan.method} · ${ms.toFixed(0)} ms.${cut}` : `Nothing found.${cut}`);
}

async function start() {
  const asked = new URLSearchParams(location.search);
  const names = (await call("GET", "/collections")).result.collections.map((c) => c.name);
  $("collection").replaceChildren(...names.map((name) => new Option(name, name)));
  const wanted = asked.get("c") || "default";
  if (names.includes(wanted)) $("collection").value = wanted;
  $("collection").hidden = names.length < 2;
  if (!names.length) say("There is no collection yet. Index a folder with: lode index FOLDER");
  if (asked.get("q")) {
    $("query").value = asked.get("q");
    await search(false);
  }
}

function on(id, event, work) {
  $(id).addEventListener(event, (e) => {
    e.preventDefault();
    work().catch((error) => say(error.message, true));
  });
}
on("form", "submit", () => search(false));
on("more", "click", () => search(true));
on("key-form", "submit", async () => {
  sessionStorage.setItem("lode-key", $("key").value);
  $("key-form").hidden = true;
  await start();
});
start().catch((error) => say(error.message, true));
