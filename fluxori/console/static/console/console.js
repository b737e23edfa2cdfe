// Scripts of the console: keyboard search, copying of ids, and a cookie with the browser's time zone.
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
      const boxes = [...document.querySelectorAll("[data-search] input")];
      const box = boxes.reverse().find((candidate) => candidate.offsetParent !== null);
      if (box) {
        event.preventDefault();
        event.stopImmediatePropagation(); // the search box of a list has the same shortcut
        box.focus();
        box.select();
      }
    }
    const search = event.target.closest?.("[data-search]");
    if (!search) return;
    const stops = [search.querySelector("input"), ...search.querySelectorAll("[data-suggestions] a")];
    const here = stops.indexOf(event.target);
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      stops[(here + step + stops.length) % stops.length]?.focus();
    } else if (event.key === "Escape") {
      search.querySelector("[data-suggestions]").replaceChildren();
      search.querySelector("input").focus();
    }
  }, { capture: true });

  // The page is hidden until Alpine is initialized, which is too late for the browser's autofocus.
  document.addEventListener("alpine:initialized", () => requestAnimationFrame(() => {
    if (document.activeElement === document.body) document.querySelector("#content [autofocus]")?.focus();
  }));

  // Focus the form in an element when it is opened. The event does not bubble, hence the capture.
  document.addEventListener("toggle", (event) => {
    if (event.target.open) event.target.querySelector("form input:not([type=hidden])")?.focus();
  }, { capture: true });

  document.addEventListener("focusout", (event) => {
    const search = event.target.closest?.("[data-search]");
    if (search && !search.contains(event.relatedTarget)) {
      search.querySelector("[data-suggestions]").replaceChildren();
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
