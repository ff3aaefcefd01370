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
  const flagsAt = new Map(segments.map(({ vaddr, flags }) => [vaddr, flags]));
  const modules: CoreModule[] = [];
  const groups = new MappingGroups((group) => {
    const image = group.first.fileOffset === 0n ? images.get(group.first.start) : undefined;
    if (isModule(group, image)) modules.push(moduleOf(group, image));
  });
  for (const mapping of mappings) groups.add(mapping, flagsAt.get(mapping.start));
  groups.end();
  addVdso(modules, images, segments, auxv?.sysinfoEhdr);
  const entry = auxv?.entry ?? auxv?.phdr;
  const program =
    entry === undefined ? undefined : modules.find((module) => module.start <= entry && entry < module.end);
  if (program !== undefined) program.executable = true;
  return modules;
}

/** Neighbouring mappings of one file. */
export interface MappingGroup {
  first: CoreMapping;
  last: CoreMapping;
  /** The last one that is no hole. */
  lastFilled?: CoreMapping;
  isExecutable: boolean;
}

/** Put neighbouring mappings of one file together, in memory for one group at a time. */
export class MappingGroups {
  readonly #take: (group: MappingGroup) => void;
  #group: MappingGroup | undefined;

  /** @param take gets each group when it has ended */
  constructor(take: (group: MappingGroup) => void) {
    this.#take = take;
  }

  /**
   * Add the next mapping, in the order of addresses.
   * @param flags PF_X 1, PF_W 2, PF_R 4; undefined where they are not known
   */
  add(mapping: CoreMapping, flags: number | undefined): void {
    const group = this.#group;
    if (group !== undefined && !continues(group.lastFilled ?? group.last, mapping)) this.end();
    this.#group ??= { first: mapping, last: mapping, isExecutable: false };
    this.#group.last = mapping;
    // A loader maps a file in one piece and closes what lies between its segments, 64 KiB and more on arm64: such a hole
    // says nothing of the file's order.
    if (flags !== 0) this.#group.lastFilled = mapping;
    if (((flags ?? 0) & EXECUTABLE) !== 0) this.#group.isExecutable = true;
  }

  /** End the group that is open. */
  end(): void {
    if (this.#group !== undefined) this.#take(this.#group);
    this.#group = undefined;
  }
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

/** Tell whether a file is a module: it begins as an ELF file does, or a part of it may be executed. */
export function isModule({ isExecutable }: MappingGroup, image: ModuleImage | undefined): boolean {
  return image !== undefined || isExecutable;
}

/** Describe a file that is a module. */
export function moduleOf({ first, last }: MappingGroup, image: ModuleImage | undefined): CoreModule {
  const { path, start, fileOffset } = first;
  return { path, start, end: last.end, ...(fileOffset === 0n ? {} : { fileOffset }), ...idsOf(image) };
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

function idsOf(image: ModuleImage | undefined): Pick<CoreModule, "buildId" | "goBuildId" | "package"> {
  return {
    ...(image?.buildId === undefined ? {} : { buildId: image.buildId }),
    ...(image?.goBuildId === undefined ? {} : { goBuildId: image.goBuildId }),
    ...(image?.package === undefined ? {} : { package: image.package }),
  };
}
