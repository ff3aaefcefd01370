import type { ModuleFacts } from "../bundle/manifest.ts";
import { tryParseAddress } from "./signal-words.ts";

/** Where an address falls: a module and the offset from the start of its mapping. */
export interface Place {
  path: string;
  offset: bigint;
  buildId?: string;
}

/** Find the module that an address falls into. */
export interface AddressMap {
  find(address: bigint): Place | undefined;
}

/**
 * Order modules for search. A module whose range cannot be read, or is empty, is left out. Where one lies in a hole of
 * another, as the vDSO does in arm64's dynamic loader, the inner one is found in its range and the outer one around it.
 */
export function makeAddressMap(modules: readonly ModuleFacts[]): AddressMap {
  const ranges = modules
    .flatMap((module) => {
      const start = tryParseAddress(module.start);
      const end = tryParseAddress(module.end);
      return start === undefined || end === undefined || end <= start ? [] : [{ module, start, end }];
    })
    .toSorted((left, right) => (left.start < right.start ? -1 : 1));
  const reach: bigint[] = [];
  for (const { end } of ranges) reach.push(end > (reach.at(-1) ?? 0n) ? end : (reach.at(-1) ?? 0n));
  return {
    find: (address) => {
      let low = 0;
      let high = ranges.length - 1;
      while (low < high) {
        const middle = Math.ceil((low + high) / 2);
        if ((ranges[middle]?.start ?? 0n) <= address) low = middle;
        else high = middle - 1;
      }
      for (; low >= 0 && (reach[low] ?? 0n) > address; low -= 1) {
        const range = ranges[low];
        if (range === undefined || address < range.start || address >= range.end) continue;
        const { path, buildId } = range.module;
        return { path, offset: address - range.start, ...(buildId === undefined ? {} : { buildId }) };
      }
      return undefined;
    },
  };
}

/** Write a place as `libc.so.6+0x9e12c`. */
export function formatPlace(place: Place): string {
  return `${place.path.slice(place.path.lastIndexOf("/") + 1)}+0x${place.offset.toString(16)}`;
}
