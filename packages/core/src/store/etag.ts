/** An ETag without its quotes, in lower case. */
export function bareEtag(etag: string): string {
  return etag.replaceAll('"', "").toLowerCase();
}
