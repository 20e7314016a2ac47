/** The service worker: what it is for, and what the page shows of it. */

import type { CacheReport } from "rwkv-wasm";
import { $ } from "./dom.ts";

const TRIED = "isolation tried";

/**
 * On a host that does not send the headers for shared memory, the service worker adds them: to the next load of the page. So the
 * first visit loads it twice. Resolves to true when that is about to happen.
 */
export async function isolate(): Promise<boolean> {
  if (crossOriginIsolated || !navigator.serviceWorker || sessionStorage.getItem(TRIED)) return false;
  // Only once: a browser that cannot do it would go on for ever.
  sessionStorage.setItem(TRIED, "yes");
  await navigator.serviceWorker.register("service-worker.js");
  await navigator.serviceWorker.ready;
  location.reload();
  return true;
}

/**
 * Called when the model is there: what follows has time. `kept`: how the model was kept for the next time. `leave` ends what the page
 * does, before a newer version takes over.
 */
export async function goOffline(kept: CacheReport | undefined, leave: () => Promise<unknown>): Promise<void> {
  if (!navigator.serviceWorker) return;
  const registration = await navigator.serviceWorker.register("service-worker.js");
  await navigator.serviceWorker.ready;
  $("offline", HTMLElement).hidden = !kept || kept.problem !== undefined || ["memory", "none"].includes(kept.store);

  const offer = () => {
    const { waiting } = registration;
    if (!waiting) return;
    $("update", HTMLElement).hidden = false;
    $("update-now", HTMLButtonElement).onclick = async () => {
      await leave();
      waiting.postMessage("take over");
      // Asked for again and again, because Firefox tells only pages that have a service worker already.
      setInterval(() => registration.waiting || location.reload(), 100);
    };
  };
  offer();
  registration.addEventListener("updatefound", () => registration.installing?.addEventListener("statechange", offer));
}

/** A browser that can install the page says so with this event, which only some know. */
interface InstallEvent extends Event {
  prompt(): Promise<void>;
}

export function offerInstallation(): void {
  const button = $("install", HTMLButtonElement);
  addEventListener("beforeinstallprompt", (event) => {
    event.preventDefault();
    button.hidden = false;
    button.onclick = async () => {
      button.hidden = true;
      await (event as InstallEvent).prompt();
    };
  });
}
