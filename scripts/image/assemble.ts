/**
 * Put the image's file system together, from what was built and from Debian's files for the image's architecture:
 * `node scripts/bootstrap.mjs -- node scripts/image/assemble.ts --debian=DIR --out=DIR [--arch=arm64] [--certificates=FILE] [--packages=name=version,…]`.
 */
import fs from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { root } from "../build/paths.ts";
import { copyDebianFiles, writeSystemFiles } from "./debian-files.ts";
import { copyOwnFiles } from "./own-files.ts";
import { HOME } from "./paths.ts";
import { renderSbom } from "./sbom.ts";

const { values } = parseArgs({
  options: {
    debian: { type: "string" },
    out: { type: "string" },
    arch: { type: "string", default: process.arch },
    certificates: { type: "string", default: "/etc/ssl/certs/ca-certificates.crt" },
    packages: { type: "string", default: "" },
  },
});
const { debian, out, arch } = values;
if (debian === undefined || out === undefined) throw new Error("--debian and --out are needed");
if (arch !== "x64" && arch !== "arm64") throw new Error(`--arch=${arch}: x64 or arm64`);

const readJson = (file: string): Record<string, unknown> =>
  JSON.parse(fs.readFileSync(path.join(root, file), "utf8")) as Record<string, unknown>;

copyDebianFiles(debian, out, arch);
writeSystemFiles(out, values.certificates);
copyOwnFiles(out, arch);
const tools = readJson("scripts/toolchain/package.json")["optionalDependencies"] as Record<string, string>;
const sbom = renderSbom(
  path.join(root, "dist/licenses"),
  String(readJson("package.json")["version"]),
  {
    node: tools[`node-linux-${arch}`] ?? "",
    bun: tools[`@oven/bun-linux-${arch === "arm64" ? "aarch64" : "x64"}`] ?? "",
  },
  values.packages.split(",").filter((text) => text !== ""),
);
fs.writeFileSync(path.join(out, HOME, "sbom.cdx.json"), sbom);
