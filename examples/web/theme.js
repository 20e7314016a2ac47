// @ts-check
// Sets the theme before anything is painted: what was chosen here before, else what the system says. A classic script,
// because modules wait for the page. page.ts switches through the event "theme".
(() => {
  const KEY = "theme";
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const stored = () => {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // a browser that lets pages store nothing
    }
  };

  function apply() {
    const chosen = stored();
    root.dataset.theme = chosen === "dark" || chosen === "light" ? chosen : system.matches ? "dark" : "light";
    const color = root.dataset.theme === "dark" ? "#161715" : "#faf9f6";
    document.querySelector('meta[name="theme-color"]')?.setAttribute("content", color);
    root.dispatchEvent(new Event("themechange"));
  }

  // The other theme; to choose what the system says is to follow it again.
  root.addEventListener("theme", () => {
    const other = root.dataset.theme === "dark" ? "light" : "dark";
    try {
      if ((other === "dark") === system.matches) localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, other);
      apply();
    } catch {
      root.dataset.theme = other;
      root.dispatchEvent(new Event("themechange"));
    }
  });
  system.addEventListener("change", apply);
  apply();
})();
