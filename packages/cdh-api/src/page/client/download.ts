import { formatBytes } from "@cdh/core/units";
import { ApiError, type Api } from "./api.ts";
import { h } from "./dom.ts";

/** More than this is not taken into the browser's memory. */
const MEMORY_MAX_BYTES = 256 * 1024 * 1024;

/** What to download. */
export interface Wanted {
  namespace: string;
  name: string;
  part: "bundle" | "core";
  fileName: string;
  sizeBytes: number;
}

/**
 * Download a bundle or a core. The browser itself sends no token, so with one it is given a link that is good for minutes;
 * where the server or the person's rights give none, a small file goes through the page's memory.
 * @throws {ApiError}
 */
export async function download(api: Api, wanted: Wanted): Promise<void> {
  const path = api.pathOf(wanted, wanted.part);
  // The proxy's cookie goes with a plain link.
  if (!api.hasToken) return click(api.url(path), wanted.fileName);
  let refusal: ApiError;
  try {
    const answer = await api.ask(api.pathOf(wanted, "link"), {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ subresource: wanted.part }),
    });
    const { url } = (await answer.json()) as { url: string };
    return click(/^https?:/.test(url) ? url : api.url(url), wanted.fileName);
  } catch (error) {
    if (!(error instanceof ApiError) || ![403, 404, 405, 501].includes(error.status)) throw error;
    refusal = error;
  }
  if (wanted.sizeBytes > MEMORY_MAX_BYTES) {
    throw new ApiError(
      refusal.status,
      `No link: ${refusal.message} ${formatBytes(wanted.sizeBytes)} are too much for this page: kubectl coredump get -n ${wanted.namespace} ${wanted.name}`,
    );
  }
  saveBlob(await (await api.ask(path)).blob(), wanted.fileName);
}

/** Save what is in memory as a file. */
export function saveBlob(blob: Blob, fileName: string): void {
  const url = URL.createObjectURL(blob);
  click(url, fileName);
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

function click(url: string, fileName: string): void {
  const link = h("a", { href: url, download: fileName, rel: "noreferrer" });
  document.body.append(link);
  link.click();
  link.remove();
}
