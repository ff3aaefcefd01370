import { rmSync, statSync } from "node:fs";
import { partialOf, writeAtomicallySync } from "@cdh/core/files/write-atomically";
import { selfTest } from "../check/self-test.ts";
import { readTextIfThere } from "../node/files.ts";
import { hashFile } from "../node/hash-file.ts";
import { inHostDir, NAMES, onNode, type Node } from "../node/target-node.ts";
import { renderComposerEnv } from "./composer-env.ts";
import type { ComposerSource } from "./composer-source.ts";
import { diskError, placeLibraries, publishFile, copyVerified } from "./copy-verified.ts";
import type { Desired } from "./desired.ts";
import type { Step } from "./steps.ts";

/** Plan to copy the composer, to prove it on the node, and to put it in place. */
export function planComposer(node: Node, composer: ComposerSource): Step[] {
  const target = inHostDir(node, NAMES.composer);
  const folder = inHostDir(node, composer.libraryFolder);
  const present = hashFile(target) === composer.sha256 && (statSync(target).mode & 0o111) === 0o111;
  const librariesPresent = composer.libraries.every(
    ({ name, sha256 }) => hashFile(inHostDir(node, composer.libraryFolder, name)) === sha256,
  );
  const steps: Step[] = [];
  if (composer.libraries.length > 0) {
    steps.push({
      id: "place-libraries",
      title: "copy the composer's loader and libraries",
      to: onNode(node, composer.libraryFolder),
      changes: !librariesPresent,
      run: () => placeLibraries(composer.libraries, folder),
    });
  }
  const probe = present ? onNode(node, NAMES.composer) : partialOf(onNode(node, NAMES.composer));
  const short = `sha256 ${composer.sha256.slice(0, 12)}`;
  return [
    ...steps,
    {
      id: "stage-composer",
      title: "copy the composer beside its place and verify it",
      to: short,
      changes: !present,
      run: () => void (present || copyVerified(composer, target, 0o755)),
      undo: () => rmSync(partialOf(target), { force: true }),
    },
    {
      id: "self-test",
      title: "prove that the composer runs on this node",
      changes: false,
      check: true,
      run: async () => void (await selfTest(node.roots, probe)),
    },
    {
      id: "publish-composer",
      title: "put the composer in place",
      to: onNode(node, NAMES.composer),
      changes: !present,
      run: () => {
        if (!present) publishFile(partialOf(target), target);
      },
    },
  ];
}

/** Plan to write the files that the composer reads: its settings, and crictl with its configuration when wanted. */
export function planSideFiles(node: Node, desired: Desired): Step[] {
  const steps = [
    planFile(
      node,
      "write-env",
      "write the composer's settings",
      NAMES.env,
      renderComposerEnv(desired.composerEnv),
      0o600,
    ),
  ];
  if (desired.crictlConfig !== undefined) {
    steps.push(
      planFile(
        node,
        "write-crictl-config",
        "write crictl's configuration",
        NAMES.crictlConfig,
        desired.crictlConfig,
        0o644,
      ),
    );
  }
  const { crictl } = desired;
  if (crictl !== undefined) {
    const target = inHostDir(node, NAMES.crictl);
    const present = hashFile(target) === crictl.sha256;
    steps.push({
      id: "copy-crictl",
      title: "copy crictl",
      to: onNode(node, NAMES.crictl),
      changes: !present,
      run: () => {
        if (!present) publishFile(copyVerified({ ...crictl, patches: [] }, target, 0o755), target);
      },
    });
  }
  return steps;
}

function planFile(node: Node, id: string, title: string, name: string, content: string, mode: number): Step {
  const path = inHostDir(node, name);
  const same = readTextIfThere(path) === content && (statSync(path).mode & 0o777) === mode;
  return {
    id,
    title,
    to: onNode(node, name),
    changes: !same,
    run: () => {
      if (same) return;
      try {
        writeAtomicallySync(path, content, { mode });
      } catch (error) {
        throw diskError(`cannot write ${path}`, error);
      }
    },
  };
}
