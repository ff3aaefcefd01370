import type { Metrics } from "@cdh/core/metrics";
import { CLOSED_REASONS, type Connections } from "../http/connections.ts";
import type { Gates } from "../http/gates.ts";
import type { DumpStore } from "../index/dump-store.ts";
import type { Look } from "../index/refresh.ts";
import type { Counted } from "../route/route.ts";
import { VERSION } from "../version.ts";

/** What is counted. */
export interface ApiMetrics {
  /** @param route `none` when nothing is at that path */
  request(route: Counted | "none", status: number, seconds: number): void;
  download(subresource: string, bytes: number, isWhole: boolean): void;
  look(look: Look | { failure: unknown }): void;
  connectionClosed(reason: (typeof CLOSED_REASONS)[number]): void;
}

/** Declare this program's metrics. */
export function declareMetrics(
  metrics: Metrics,
  sources: { dumps: () => DumpStore; gates: Gates; connections: Connections; refreshIntervalMs: number },
): ApiMetrics {
  metrics.gauge("cdh_api_info", "Version of cdh-api.").set(1, { version: VERSION });
  const requests = metrics.counter("cdh_api_requests_total", "Requests by route and status.");
  const seconds = metrics.histogram(
    "cdh_api_request_seconds",
    "Time until the answer was sent, watches left out.",
    [0.005, 0.02, 0.1, 0.2, 0.5, 1, 5, 30, 300],
  );
  const downloads = metrics.counter("cdh_api_downloads_total", "Downloads that ended, by subresource and outcome.");
  const bytes = metrics.counter("cdh_api_downloaded_bytes_total", "Bytes of bundles and cores that were sent.");
  const looks = metrics.counter("cdh_api_listings_total", "Listings of the store by outcome.");
  const lookSeconds = metrics.gauge("cdh_api_listing_seconds", "How long the last listing of the store took.");
  const dumps = metrics.gauge("cdh_api_dumps", "Dumps in the index.");
  const garbage = metrics.gauge("cdh_api_garbage_manifests", "Manifests in the store that cannot be read.");
  const indexTime = metrics.gauge(
    "cdh_api_index_timestamp_seconds",
    "When the listing of the store began that is shown: the age of the index.",
  );
  const interval = metrics.gauge("cdh_api_refresh_interval_seconds", "Time between two listings of the store, as set.");
  interval.set(sources.refreshIntervalMs / 1000);
  const running = metrics.gauge("cdh_api_downloads_running", "Downloads that are under way.");
  const watching = metrics.gauge("cdh_api_watchers", "Watches that are open.");
  const connections = metrics.gauge("cdh_api_connections", "Connections by whose they are.");
  const closed = metrics.counter("cdh_api_connections_closed_total", "Connections that were cut off, by reason.");
  for (const reason of CLOSED_REASONS) closed.inc({ reason }, 0);
  metrics.onRender(() => {
    dumps.set(sources.dumps().index.size);
    garbage.set(sources.dumps().garbageCount);
    const { loadedAt } = sources.dumps();
    if (loadedAt !== undefined) indexTime.set(loadedAt / 1000);
    running.set(sources.gates.downloads.inside);
    watching.set(sources.gates.watches.inside);
    for (const [whose, count] of Object.entries(sources.connections.counts)) connections.set(count, { whose });
  });
  return {
    request: (route, status, took) => {
      requests.inc({ route, status: String(status) });
      if (route !== "watch") seconds.observe(took, { route });
    },
    download: (subresource, sent, isWhole) => {
      downloads.inc({ subresource, outcome: isWhole ? "whole" : "cut" });
      bytes.inc({ subresource }, sent);
    },
    connectionClosed: (reason) => closed.inc({ reason }),
    look: (look) => {
      looks.inc({ outcome: "failure" in look ? "failed" : "done" });
      if (!("failure" in look)) lookSeconds.set(look.durationMs / 1000);
    },
  };
}
