/** Show a time for people in UTC: `2026-11-21 08:26:11`; what is no RFC 3339 time stays as it is. */
export function formatMoment(rfc3339: string | undefined): string {
  const match = /^(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2}:\d{2})/.exec(rfc3339 ?? "");
  return match === null ? (rfc3339 ?? "") : `${match[1]} ${match[2]}`;
}
