import type { Clock } from "@cdh/core/clock";
import type { DebugFileId } from "@cdh/core/debug-files/keys";
import { CdhError } from "@cdh/core/errors";
import type { SymbolPlace } from "../debug/symbol-files.ts";
import type { KubeClient } from "../kube/client.ts";
import { filePathOf } from "../kube/coredumps.ts";
import { downloadTo } from "../kube/download.ts";

/**
 * A cluster's files by build-id, through the API server: for those whom a ClusterRole gives them, as docs/debug-files.md says.
 * @param signal ends all of it
 */
export function apiPlace(client: KubeClient, { clock, signal }: { clock: Clock; signal: AbortSignal }): SymbolPlace {
  const ask = async (id: DebugFileId, asked: AbortSignal): Promise<{ version: string } | undefined> => {
    const path = filePathOf(id.buildId, id.role);
    try {
      const answer = await client.ask(path, { method: "HEAD", headers: { accept: "*/*" }, signal: asked });
      answer.resume();
      return { version: answer.headers.etag ?? "" };
    } catch (error) {
      // An older server knows no such path.
      if (error instanceof CdhError && error.code === "CDH_NOT_FOUND") return undefined;
      throw error;
    }
  };
  return {
    url: `kube+${client.cluster.server.origin}${client.cluster.server.pathname}`,
    parts: async (buildId, asked) => {
      const [executable, debuginfo] = await Promise.all([
        ask({ buildId, role: "executable" }, asked),
        ask({ buildId, role: "debuginfo" }, asked),
      ]);
      return { executable: executable !== undefined, debuginfo: debuginfo !== undefined };
    },
    find: async (id) => {
      const found = await ask(id, signal);
      const path = filePathOf(id.buildId, id.role);
      return (
        found && {
          label: path,
          version: found.version,
          write: async (target) => void (await downloadTo(client, path, target, { signal, clock })),
        }
      );
    },
  };
}
