import type { AuxiliaryVector, CoreMapping, CoreModule, CoreSegment } from "./facts.ts";
import type { ModuleImage } from "./module-image.ts";

/** PF_X of a program header. */
const EXECUTABLE = 1;

/** Widest hole between two segments of one module: more than any linker's alignment (2 MiB), far less than a heap. */
const GAP_MAX_BYTES = 128n * 1024n * 1024n;

/**
 * Make the module map: neighbouring mappings of one file become one module. A file counts as a module when its first
 * page is an ELF header, or when a part of it may be executed; data files that are only mapped do not.
 * @param images what stood at the start of a segment, by address
 */
export function groupModules(
  mappings: readonly CoreMapping[],
  images: ReadonlyMap<bigint, ModuleImage>,
  segments: readonly CoreSegment[],
  auxv: AuxiliaryVector | undefined,
): CoreModule[] {
  const startsOf = (wanted: (flags: number) => boolean): Set<bigint> =>
    new Set(segments.filter(({ flags }) => wanted(flags)).map(({ vaddr }) => vaddr));
  const executable = startsOf((flags) => (flags & EXECUTABLE) !== 0);
  const holes = startsOf((flags) => flags === 0);
  const modules: CoreModule[] = [];
  let group: CoreMapping[] = [];
  const close = (): void => {
    const module = toModule(group, images, executable);
    if (module !== undefined) modules.push(module);
    group = [];
  };
  for (const mapping of mappings) {
    // A loader maps a file in one piece and closes what lies between its segments, 64 KiB and more on arm64: such a hole
    // says nothing of the file's order.
    const last = group.findLast(({ start }) => !holes.has(start)) ?? group.at(-1);
    if (last !== undefined && !continues(last, mapping)) close();
    group.push(mapping);
  }
  close();
  addVdso(modules, images, segments, auxv?.sysinfoEhdr);
  const entry = auxv?.entry ?? auxv?.phdr;
  const program =
    entry === undefined ? undefined : modules.find((module) => module.start <= entry && entry < module.end);
  if (program !== undefined) program.executable = true;
  return modules;
}

/**
 * Tell whether a mapping belongs to the module before it. A loader maps one file's segments upwards, in file order and
 * close together; the same file mapped once more elsewhere (Node does so with its own code) is a module of its own.
 */
function continues(last: CoreMapping, mapping: CoreMapping): boolean {
  return (
    last.path === mapping.path &&
    mapping.fileOffset !== 0n &&
    mapping.fileOffset >= last.fileOffset &&
    mapping.start >= last.end &&
    mapping.start - last.end <= GAP_MAX_BYTES
  );
}

function toModule(
  group: readonly CoreMapping[],
  images: ReadonlyMap<bigint, ModuleImage>,
  executable: ReadonlySet<bigint>,
): CoreModule | undefined {
  const first = group[0];
  const last = group.at(-1);
  if (first === undefined || last === undefined) return undefined;
  const image = first.fileOffset === 0n ? images.get(first.start) : undefined;
  if (image === undefined && !group.some((mapping) => executable.has(mapping.start))) return undefined;
  return { path: first.path, start: first.start, end: last.end, ...idsOf(image) };
}

function addVdso(
  modules: CoreModule[],
  images: ReadonlyMap<bigint, ModuleImage>,
  segments: readonly CoreSegment[],
  start: bigint | undefined,
): void {
  if (start === undefined || !images.has(start)) return;
  const segment = segments.find((candidate) => candidate.vaddr === start);
  if (segment !== undefined)
    modules.push({ path: "[vdso]", start, end: start + BigInt(segment.memSize), ...idsOf(images.get(start)) });
}

function idsOf(image: ModuleImage | undefined): Pick<CoreModule, "buildId" | "package"> {
  return {
    ...(image?.buildId === undefined ? {} : { buildId: image.buildId }),
    ...(image?.package === undefined ? {} : { package: image.package }),
  };
}
