import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import manifest from "../../package.json" with { type: "json" };
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { builtImage } from "./built-image.ts";
import { checkImage } from "./checks.ts";

const found = builtImage();
const reason = found.reason ?? (process.geteuid?.() === 0 ? missingTools("unshare", "helm", "tar") : "not root");

describeUnless(reason, "the image that buildah built from docker/Dockerfile", () => {
  let work: string;
  let config: Record<string, unknown> & { Labels: Record<string, string> };
  const tar = (archive: string, directory: string): void => {
    const { status, stderr } = spawnSync("tar", ["-xf", archive, "-C", directory], { encoding: "utf8" });
    if (status !== 0) throw new Error(`tar: ${stderr}`);
  };
  beforeAll(() => {
    work = mkdtempSync(join(tmpdir(), "cdh-built-"));
    tar(found.path ?? "", work);
    const [image] = JSON.parse(readFileSync(join(work, "manifest.json"), "utf8")) as {
      Config: string;
      Layers: string[];
    }[];
    if (image === undefined) throw new Error("the archive has no image");
    ({ config } = JSON.parse(readFileSync(join(work, image.Config), "utf8")) as { config: typeof config });
    mkdirSync(join(work, "root"));
    for (const layer of image.Layers) tar(join(work, layer), join(work, "root"));
    mkdirSync(join(work, "root/proc"), { recursive: true });
  });
  afterAll(() => rmSync(work, { recursive: true, force: true }));

  checkImage(() => join(work, "root"));

  it("says what it is in OCI's labels", () => {
    expect(config.Labels).toMatchObject({
      "org.opencontainers.image.title": "core-dump-handler",
      "org.opencontainers.image.licenses": "Apache-2.0",
      "org.opencontainers.image.version": manifest.version,
      "org.opencontainers.image.revision": found.revision,
    });
  });

  it("gives no more than is needed to whoever starts it by hand", () => {
    expect(config).toMatchObject({ User: "65532:65532", Entrypoint: ["/opt/core-dump-handler/entrypoint"] });
  });
});
