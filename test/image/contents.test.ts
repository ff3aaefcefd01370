import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll } from "vitest";
import { notBuilt } from "../helpers/built.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { checkImage, PROGRAMS } from "./checks.ts";

const ownLoader = existsSync(join(REPOSITORY, "dist/bin/lib"));
const reason =
  notBuilt(...PROGRAMS) ??
  (process.geteuid?.() === 0 ? undefined : "not root") ??
  (existsSync("/etc/debian_version") && ownLoader ? undefined : "this machine's files are not Debian's") ??
  missingTools("unshare", "helm");

describeUnless(reason, "the image's file system, assembled from this machine's Debian", () => {
  let image: string;
  beforeAll(() => {
    image = mkdtempSync(join(tmpdir(), "cdh-image-"));
    const { status, stderr } = spawnSync(
      process.execPath,
      [join(REPOSITORY, "scripts/image/assemble.ts"), "--debian=/", `--out=${image}`, "--packages=libc6=2.36"],
      { encoding: "utf8" },
    );
    if (status !== 0 || stderr !== "") throw new Error(`assemble.ts ended with ${String(status)}: ${stderr}`);
    mkdirSync(join(image, "proc"));
  });
  afterAll(() => rmSync(image, { recursive: true, force: true }));

  checkImage(() => image);
});
