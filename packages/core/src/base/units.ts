import { CdhError } from "./errors.ts";

const SIZE_UNITS: Record<string, number> = {
  "": 1,
  b: 1,
  k: 1024,
  m: 1024 ** 2,
  g: 1024 ** 3,
  t: 1024 ** 4,
  ki: 1024,
  mi: 1024 ** 2,
  gi: 1024 ** 3,
  ti: 1024 ** 4,
};

const DURATION_UNITS: Record<string, number> = { ms: 1, s: 1e3, m: 60e3, h: 3600e3, d: 86400e3 };

/**
 * Parse a size: `10Gi`, `500M`, `64k`, `4096`. Units are powers of 1024 with and without the `i`, as in systemd, whose
 * MaxUse and KeepFree these settings are. `B` at the end is accepted.
 * @returns bytes, a safe integer
 * @throws {CdhError} CDH_CONFIG_INVALID when it is no size
 */
export function parseBytes(text: string): number {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?\s*$/i.exec(text);
  const bytes = match && Math.round(Number(match[1]) * (SIZE_UNITS[(match[2] ?? "").toLowerCase()] ?? Number.NaN));
  if (bytes === null || !Number.isSafeInteger(bytes)) {
    throw new CdhError("CDH_CONFIG_INVALID", `not a size: ${JSON.stringify(text)}`, {
      hint: "write bytes, or 64k, 500M, 10Gi",
    });
  }
  return bytes;
}

/**
 * Parse a duration: `250ms`, `5s`, `10m`, `1h`, `7d`; several parts add up (`1h30m`). A bare number has the unit given.
 * @returns milliseconds
 * @throws {CdhError} CDH_CONFIG_INVALID when it is no duration
 */
export function parseDuration(text: string, bareUnit: "ms" | "s" = "s"): number {
  const trimmed = text.trim().toLowerCase();
  if (/^\d+(\.\d+)?$/.test(trimmed)) return Number(trimmed) * (DURATION_UNITS[bareUnit] ?? 1);
  const parts = [...trimmed.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)];
  if (parts.length === 0 || parts.map((part) => part[0]).join("") !== trimmed) {
    throw new CdhError("CDH_CONFIG_INVALID", `not a duration: ${JSON.stringify(text)}`, {
      hint: "write 250ms, 5s, 10m, 1h or 7d",
    });
  }
  return parts.reduce((sum, part) => sum + Number(part[1]) * (DURATION_UNITS[part[2] ?? ""] ?? 0), 0);
}

/** Format bytes for people in binary units: `1.5 GiB`. */
export function formatBytes(bytes: number): string {
  const names = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let value = bytes;
  let unit = 0;
  while (Math.abs(value) >= 1024 && unit < names.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1;
  return `${value.toFixed(digits)} ${names[unit]}`;
}

/** Format milliseconds for people: `420 ms`, `3.2 s`, `4m 05s`, `2h 10m`, `3d 4h`. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60e3) return `${(ms / 1e3).toFixed(1)} s`;
  const minutes = Math.floor(ms / 60e3);
  if (minutes < 60) return `${minutes}m ${String(Math.floor((ms % 60e3) / 1e3)).padStart(2, "0")}s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours}h ${minutes % 60}m`;
  return `${Math.floor(hours / 24)}d ${hours % 24}h`;
}
