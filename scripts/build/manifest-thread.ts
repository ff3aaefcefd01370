import { build } from "esbuild";
import { root } from "./paths.ts";

/**
 * Bundle the thread in which cdh-api reads large manifests.
 * @returns its source as CommonJS; cdh-api carries it inside itself
 */
export async function bundleManifestThread(): Promise<string> {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: ["packages/cdh-api/src/manifests/worker.ts"],
    bundle: true,
    write: false,
    platform: "node",
    format: "cjs",
    target: "node26",
    legalComments: "none",
    logLevel: "warning",
  });
  return outputFiles[0]?.text ?? "";
}
