// Keeps the dashboard true: asks for the fragment every two seconds, replaces the sections that changed, and lets
// relative times run on in between. Without it the page reloads by itself (noscript).
"use strict";
(() => {
  const EVERY_MS = 2000;
  const ASLEEP_MS = 15000;
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

  function relative(ms) {
    const seconds = Math.round(Math.abs(ms) / 1000);
    if (seconds < 1) return "now";
    const [size, name] = units.find(([size]) => seconds >= size);
    const text = `${Math.floor(seconds / size)} ${name}`;
    return ms < 0 ? `${text} ago` : `in ${text}`;
  }

  // The server's clock counts, not the browser's.
  let skew = Number(document.body.dataset.now) - Date.now();
  function tick() {
    for (const time of document.querySelectorAll("time[data-at]")) {
      const text = relative(Number(time.dataset.at) - (Date.now() + skew));
      if (time.textContent !== text) time.textContent = text;
    }
  }

  const live = document.getElementById("live");
  function say(state, text) {
    if (!live || live.dataset.state === state) return;
    live.dataset.state = state;
    live.textContent = text;
  }

  function replace(html) {
    const fresh = new DOMParser().parseFromString(html, "text/html");
    const focused = document.activeElement?.getAttribute?.("href");
    for (const section of fresh.querySelectorAll("[data-rev]")) {
      const old = document.getElementById(section.id);
      if (!old || old.dataset.rev === section.dataset.rev) continue;
      const held = focused && old.contains(document.activeElement);
      const next = document.importNode(section, true);
      if (next.classList.contains("card")) next.classList.add("changed");
      old.replaceWith(next);
      if (held) [...next.querySelectorAll("a")].find((a) => a.getAttribute("href") === focused)?.focus();
    }
    const spoken = document.getElementById("spoken");
    const text = fresh.getElementById("summary")?.textContent.trim();
    if (spoken && text && spoken.textContent !== text) spoken.textContent = text;
    if (text) document.title = `${text} — hookrun`;
  }

  let etag = "";
  async function poll() {
    try {
      const headers = etag ? { "If-None-Match": etag } : {};
      const answer = await fetch("/fragment/dashboard", { headers, cache: "no-store", redirect: "manual" });
      if (answer.type === "opaqueredirect" || answer.status === 401) return location.assign("/login");
      if (answer.status === 200) {
        etag = answer.headers.get("ETag") ?? "";
        // A proxy may drop the header; the time of the first page then goes on.
        skew = Number(answer.headers.get("X-Now") || Date.now() + skew) - Date.now();
        replace(await answer.text());
      } else if (answer.status !== 304) throw new Error(String(answer.status));
      say("live", "live");
    } catch {
      say("lost", "connection lost, trying again");
    }
    tick();
    setTimeout(poll, document.hidden ? ASLEEP_MS : EVERY_MS);
  }

  setInterval(tick, 1000);
  tick();
  if (document.getElementById("live")) poll();
})();
