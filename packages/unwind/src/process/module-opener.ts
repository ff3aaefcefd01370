import type { CoreModule } from "@cdh/core/elf/facts";
import type { ElfFile } from "../elf/elf-file.ts";

/** What a file says of the file that has its debugging symbols. */
export interface DebugLink {
  /** File name, without a folder, out of `.gnu_debuglink`; of `.gnu_debugaltlink` a path. */
  name: string;
  /** CRC-32 of the whole file; an alternate file is known by its build-id. */
  crc?: number;
  buildId?: string;
}

/** Opens the files behind the modules of a process. Each is opened once, and closed by whoever opened it. */
export interface ModuleOpener {
  /** Open the module's own file; undefined when it is not at hand. */
  openFile(module: CoreModule): Promise<ElfFile | undefined>;
  /** Open the file with its debugging symbols, by the module's build-id or by what the file says. */
  openDebugFile(module: CoreModule, link: DebugLink | undefined): Promise<ElfFile | undefined>;
  /** Open the file that several debugging files share (`.gnu_debugaltlink`). */
  openSharedDebugFile(module: CoreModule, link: DebugLink): Promise<ElfFile | undefined>;
  /** Open the package of split debug info (`.dwp`) that belongs to a module. */
  openSplitPackage?(module: CoreModule): Promise<ElfFile | undefined>;
}
