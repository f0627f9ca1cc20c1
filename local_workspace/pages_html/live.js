// Refreshes the page's content while a run is active; keeps scroll positions and opened details.
"use strict";
const pause = { yes: 1500, slow: 6000 };
async function refresh() {
  const old = document.getElementById("content");
  const wait = pause[old.dataset.live];
  if (!wait) return;
  await new Promise((done) => setTimeout(done, wait));
  try {
    const answer = await fetch(location.href, { credentials: "same-origin" });
    const selecting = String(getSelection()).length > 0;
    if (answer.ok && !answer.redirected && !selecting && !document.hidden) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("content");
      const atEnd = [...old.querySelectorAll("[data-log]")].map(
        (log) => [log.scrollTop, log.scrollTop + log.clientHeight >= log.scrollHeight - 8]);
      const open = [...old.querySelectorAll("details")].map((part) => part.open);
      fresh.querySelectorAll("details").forEach((part, index) => { part.open = Boolean(open[index]); });
      old.replaceWith(document.adoptNode(fresh));
      fresh.querySelectorAll("[data-log]").forEach((log, index) => {
        const [top, end] = atEnd[index] || [0, true];
        log.scrollTop = end ? log.scrollHeight : top;
      });
    }
  } catch { /* the workspace is being restarted: try again */ }
  refresh();
}
document.querySelectorAll("[data-log]").forEach((log) => { log.scrollTop = log.scrollHeight; });
refresh();
