import type { ModuleFacts } from "../bundle/manifest.ts";
import { makeRangeIndex } from "../elf/range-index.ts";
import { tryParseAddress } from "./signal-words.ts";

/** Where an address falls: a module and the offset from its file's beginning, as far as its mappings lie as in the file. */
export interface Place {
  path: string;
  offset: bigint;
  buildId?: string;
}

/** Find the module that an address falls into. */
export interface AddressMap {
  find(address: bigint): Place | undefined;
}

/** Order modules for search. A module whose range cannot be read is left out. */
export function makeAddressMap(modules: readonly ModuleFacts[]): AddressMap {
  const find = makeRangeIndex(
    modules.flatMap((module) => {
      const start = tryParseAddress(module.start);
      const end = tryParseAddress(module.end);
      return start === undefined || end === undefined ? [] : [{ module, start, end }];
    }),
  );
  return {
    find: (address) => {
      const range = find(address);
      if (range === undefined) return undefined;
      const { path, buildId, fileOffset } = range.module;
      const before = fileOffset === undefined ? undefined : tryParseAddress(fileOffset);
      return { path, offset: address - range.start + (before ?? 0n), ...(buildId === undefined ? {} : { buildId }) };
    },
  };
}

/** Write a place as `libc.so.6+0x9e12c`. */
export function formatPlace(place: Place): string {
  return `${place.path.slice(place.path.lastIndexOf("/") + 1)}+0x${place.offset.toString(16)}`;
}
