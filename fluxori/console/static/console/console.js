// What the console does in the browser: find from the keyboard, copy ids, tell the server our time zone.
(() => {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone) {
    const secure = location.protocol === "https:" ? "; secure" : "";
    document.cookie = `console_zone=${encodeURIComponent(zone)}; path=/admin; max-age=31536000; samesite=lax${secure}`;
  }

  const typing = (element) =>
    element.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(element.tagName);

  window.addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.ctrlKey && !event.metaKey && !event.altKey && !typing(event.target)) {
      const boxes = [...document.querySelectorAll("[data-find] input")];
      const box = boxes.reverse().find((candidate) => candidate.offsetParent !== null);
      if (box) {
        event.preventDefault();
        event.stopImmediatePropagation(); // the box of a list listens to it, too
        box.focus();
        box.select();
      }
    }
    const find = event.target.closest?.("[data-find]");
    if (!find) return;
    const stops = [find.querySelector("input"), ...find.querySelectorAll("[data-suggestions] a")];
    const here = stops.indexOf(event.target);
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      stops[(here + step + stops.length) % stops.length]?.focus();
    } else if (event.key === "Escape") {
      find.querySelector("[data-suggestions]").replaceChildren();
      find.querySelector("input").focus();
    }
  }, { capture: true });

  // The page is hidden until it is ready; by then the browser's own autofocus has given up.
  document.addEventListener("alpine:initialized", () => requestAnimationFrame(() => {
    if (document.activeElement === document.body) document.querySelector("#content [autofocus]")?.focus();
  }));

  // Whoever opens what has a form in it wants to fill it in. The event does not bubble.
  document.addEventListener("toggle", (event) => {
    if (event.target.open) event.target.querySelector("form input:not([type=hidden])")?.focus();
  }, { capture: true });

  document.addEventListener("focusout", (event) => {
    const find = event.target.closest?.("[data-find]");
    if (find && !find.contains(event.relatedTarget)) {
      find.querySelector("[data-suggestions]").replaceChildren();
    }
  });

  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("[data-copy]");
    if (!button) return;
    event.preventDefault();
    await navigator.clipboard.writeText(button.dataset.copy);
    const icon = button.querySelector(".material-symbols-outlined");
    icon.textContent = "check";
    setTimeout(() => (icon.textContent = "content_copy"), 1500);
  });
})();
