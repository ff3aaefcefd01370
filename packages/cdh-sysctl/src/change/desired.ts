import { type KernelValues } from "../node/kernel-values.ts";
import { type Mode } from "../node/target-node.ts";
import type { ComposerSource } from "./composer-source.ts";

/** What a node shall look like. */
export interface Desired {
  version: string;
  mode: Mode;
  /** Undefined when the kernel writes plain files: nothing is installed then. */
  composer?: ComposerSource;
  /** The composer's settings, for HOST_DIR/.env. */
  composerEnv: Readonly<Record<string, string>>;
  values: KernelValues;
  /** Content of HOST_DIR/crictl.yaml, when it is wanted. */
  crictlConfig?: string;
  /** The crictl to copy, when it is wanted. */
  crictl?: { path: string; sha256: string };
}
