import { Option } from "clipanion";
import { listFlag, textFlag } from "@cdh/core/cli/flags";
import { refuseMissing, type FileWishes } from "../debug/find-files.ts";
import { imageRootOf } from "../debug/image-root.ts";
import type { OpenedFile } from "../read/opened-file.ts";
import { InspectCommand, SYMBOLS_HELP } from "./inspect-command.ts";

/** Base of the commands that read a crash beside the files of its program. */
export abstract class CrashFilesCommand extends InspectCommand {
  exe = textFlag("--exe", "FILE", "the crashed program's file");
  sysroot = textFlag("--sysroot", "DIR", "directory with the root file system that it ran in");
  symbols = listFlag("--symbols", "STORE", SYMBOLS_HELP);
  image = Option.Boolean("--image", false, { description: "take the root file system from the crashed image" });

  /** Open the bundle, where the files that were named are there. @throws {CdhError} CDH_NOT_FOUND */
  override async withOpened<Result>(text: string, work: (opened: OpenedFile) => Promise<Result>): Promise<Result> {
    await refuseMissing(this);
    return await super.withOpened(text, work);
  }

  /** Say where the files of the crash are looked for. @throws {CdhError} what {@link imageRootOf} throws */
  protected async wishesFor(opened: OpenedFile): Promise<FileWishes> {
    const sysroot = this.image ? await imageRootOf(opened, this.context, (text) => this.warn(text)) : this.sysroot;
    return { exe: this.exe, sysroot, symbols: this.symbolsOf(opened, this.symbols) };
  }
}
