import fs from "node:fs";
import path from "node:path";
import { build, type Metafile } from "esbuild";
import { dist, root } from "./paths.ts";

interface Package {
  name: string;
  version: string;
  license: string;
  text: string;
}

/** Find the packages whose files went into a bundle. */
function packageFolders(inputs: Metafile["inputs"]): string[] {
  const folders = new Set<string>();
  for (const input of Object.keys(inputs)) {
    const folder = /^(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1];
    if (folder !== undefined) folders.add(folder);
  }
  return [...folders].toSorted();
}

function read(folder: string): Package {
  const absolute = path.join(root, folder);
  const manifest = JSON.parse(fs.readFileSync(path.join(absolute, "package.json"), "utf8")) as Partial<Package>;
  const file = fs.readdirSync(absolute).find((name) => /^(licen[cs]e|copying)(\.\w+)?$/i.test(name));
  return {
    name: manifest.name ?? folder,
    version: manifest.version ?? "",
    license: String(manifest.license ?? "see the text"),
    text: file === undefined ? "" : fs.readFileSync(path.join(absolute, file), "utf8").trim(),
  };
}

/** Write `dist/licenses/<program>.txt`: every library that a program carries, with its licence; equal texts once. */
export function writeLicenses(program: string, inputs: Metafile["inputs"]): void {
  const byText = new Map<string, Package[]>();
  for (const found of packageFolders(inputs).map(read)) {
    byText.set(found.text, [...(byText.get(found.text) ?? []), found]);
  }
  const sections = [...byText].map(([text, packages]) => {
    const names = packages.map(({ name, version, license }) => `${name} ${version} (${license})`);
    return `${names.join("\n")}\n\n${text === "" ? "The package carries no licence text." : text}\n`;
  });
  const file = path.join(dist, "licenses", `${program}.txt`);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, sections.join(`\n${"-".repeat(80)}\n\n`));
}

/** Find what a program is bundled from, without writing a bundle. */
export async function inputsOf(program: string): Promise<Metafile["inputs"]> {
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: [`packages/${program}/src/main.ts`],
    bundle: true,
    write: false,
    metafile: true,
    platform: "node",
    format: "esm",
    mainFields: ["module", "main"],
    external: ["bun:*"],
    logLevel: "silent",
  });
  return metafile.inputs;
}
