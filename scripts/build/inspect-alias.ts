import path from "node:path";
import { root } from "./paths.ts";

/**
 * What the kubeconfig's library imports and cdh-inspect never calls. undici is for its own client, which is not used here;
 * it would be 1.4 MB of a bundle that is read at every start.
 */
export const INSPECT_ALIAS: Readonly<Record<string, string>> = {
  undici: path.join(root, "scripts", "build", "no-undici.mjs"),
};
