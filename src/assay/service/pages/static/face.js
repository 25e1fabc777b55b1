// Light and dark without loading the page again, and times as the reader's clock shows them.

const theme = document.getElementById("theme");

function shownTheme() {
  const set = document.documentElement.dataset.theme;
  if (set !== "auto") return set;
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

theme?.addEventListener("click", (event) => {
  event.preventDefault();
  const next = shownTheme() === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  const secure = location.protocol === "https:" ? "; secure" : "";
  document.cookie = `theme=${next}; path=/; max-age=31536000; samesite=lax${secure}`;
  window.dispatchEvent(new Event("theme"));
});

theme?.addEventListener("keydown", (event) => {
  if (event.key === " ") {
    event.preventDefault();
    theme.click();
  }
});

for (const time of document.querySelectorAll("time[datetime]")) {
  const at = new Date(time.getAttribute("datetime"));
  if (!Number.isNaN(at.getTime())) time.title = at.toLocaleString(document.documentElement.lang);
}
