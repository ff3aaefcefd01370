import fs from "node:fs";
import path from "node:path";
import { interpreterPatch, readLoaderFacts } from "../../packages/cdh-sysctl/src/change/loader.ts";
import { dist, root } from "../build/paths.ts";
import { LOADERS, type Architecture } from "../build/private-loader.ts";
import { HOME } from "./paths.ts";

/** Where the build left the composer and Node for an architecture. */
function sources(arch: Architecture): { composer: string; node: string } {
  if (arch === process.arch) return { composer: path.join(dist, "bin"), node: path.join(dist, "node/bin/node") };
  const modules = path.join(root, ".cache", `toolchain-${arch}`, "node_modules");
  return { composer: path.join(dist, arch, "bin"), node: path.join(modules, `node-linux-${arch}`, "bin/node") };
}

/**
 * Copy the programs, Node, and the composer with its private C library. The composer gets the loader's path in the image,
 * so that it runs there as well; `cdh-sysctl install` gives it another on a node.
 */
export function copyOwnFiles(out: string, arch: Architecture): void {
  const home = path.join(out, HOME);
  const { composer, node } = sources(arch);
  for (const folder of ["bin/lib", "lib", "node/bin", "licenses"])
    fs.mkdirSync(path.join(home, folder), { recursive: true });

  const launchers = fs.readdirSync(path.join(dist, "bin")).filter((name) => /^cdh-[a-z]+$/.test(name));
  for (const name of launchers) {
    fs.writeFileSync(path.join(home, "bin", name), launcher(name));
    fs.copyFileSync(path.join(dist, "lib", `${name}.mjs`), path.join(home, "lib", `${name}.mjs`));
    const parts = path.join(dist, "lib", `${name}.parts`);
    if (fs.existsSync(parts)) fs.cpSync(parts, path.join(home, "lib", `${name}.parts`), { recursive: true });
  }
  for (const name of fs.readdirSync(path.join(composer, "lib")).filter((file) => /\.so\.\d+$/.test(file))) {
    fs.copyFileSync(path.join(composer, "lib", name), path.join(home, "bin/lib", name));
  }
  fs.copyFileSync(node, path.join(home, "node/bin/node"));
  fs.cpSync(path.join(dist, "licenses"), path.join(home, "licenses"), { recursive: true });
  fs.copyFileSync(path.join(root, "LICENSE"), path.join(home, "LICENSE"));

  const copied = path.join(home, "bin/cdc");
  fs.copyFileSync(path.join(composer, "cdc"), copied);
  setInterpreter(copied, `/${HOME}/bin/lib/${LOADERS[arch]}`);
  for (const name of [...launchers, "cdc"]) fs.chmodSync(path.join(home, "bin", name), 0o755);
  fs.chmodSync(path.join(home, "node/bin/node"), 0o755);

  fs.copyFileSync(path.join(root, "docker/entrypoint.cjs"), path.join(home, "entrypoint"));
  fs.chmodSync(path.join(home, "entrypoint"), 0o755);
}

/**
 * Write a launcher that needs no shell, with the flags of the build's launcher. The kernel itself starts Node for it, with
 * at most one flag; a program that needs more of them starts Node over, as the same process.
 */
function launcher(name: string): string {
  const built = fs.readFileSync(path.join(dist, "bin", name), "utf8");
  const flags =
    /node\/bin\/node" (.*)"\$here/
      .exec(built)?.[1]
      ?.split(" ")
      .filter((flag) => flag !== "") ?? [];
  const [node, bundle] = [`/${HOME}/node/bin/node`, `/${HOME}/lib/${name}.mjs`];
  if (flags.length <= 1) return `#!${[node, ...flags].join(" ")}\nimport(${JSON.stringify(bundle)});\n`;
  const words = JSON.stringify([node, ...flags, bundle]);
  return `#!${node} --no-warnings\nprocess.execve("${node}", [...${words}, ...process.argv.slice(2)], process.env);\n`;
}

function setInterpreter(executable: string, loader: string): void {
  const bytes = fs.readFileSync(executable);
  const { interpreter } = readLoaderFacts((offset, length) => bytes.subarray(offset, offset + length));
  if (interpreter === undefined) throw new Error(`${executable} has no loader`);
  const patch = interpreterPatch(interpreter, loader);
  bytes.set(patch.bytes, patch.offset);
  fs.writeFileSync(executable, bytes);
}
