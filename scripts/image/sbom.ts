import fs from "node:fs";
import path from "node:path";

interface Component {
  type: "library";
  name: string;
  version: string;
  purl: string;
  licenses?: { license: { name: string } }[];
}

/** Read the packages that a bundle holds from its collected licenses: `name 1.2.3 (MIT)` before each text. */
function bundledPackages(folder: string): Component[] {
  const found = new Map<string, Component>();
  for (const file of fs.readdirSync(folder)) {
    for (const [, name = "", version = "", license = ""] of fs
      .readFileSync(path.join(folder, file), "utf8")
      .matchAll(/^((?:@[\w.-]+\/)?[\w.-]+) (\d+\.\d+\.\d+\S*) \(([^)]+)\)$/gm)) {
      const purl = `pkg:npm/${name.replace("@", "%40")}@${version}`;
      found.set(purl, { type: "library", name, version, purl, licenses: [{ license: { name: license } }] });
    }
  }
  return [...found.values()];
}

/**
 * Write what the image holds: the packages in our bundles, Node, Bun, and Debian's packages.
 * @param debian `name=version` of each package
 * @see https://cyclonedx.org/docs/1.5/json/
 */
export function renderSbom(licenses: string, version: string, tools: Record<string, string>, debian: string[]): string {
  const components: Component[] = [
    ...bundledPackages(licenses),
    ...Object.entries(tools).map(([name, is]): Component => ({
      type: "library",
      name,
      version: is,
      purl: `pkg:generic/${name}@${is}`,
    })),
    ...debian.map((text): Component => {
      const [name = "", is = ""] = text.split("=");
      return { type: "library", name, version: is, purl: `pkg:deb/debian/${name}@${encodeURIComponent(is)}` };
    }),
  ].sort((a, b) => (a.purl < b.purl ? -1 : 1));
  const metadata = { component: { type: "container", name: "core-dump-handler", version } };
  return `${JSON.stringify({ bomFormat: "CycloneDX", specVersion: "1.5", version: 1, metadata, components }, null, 2)}\n`;
}
