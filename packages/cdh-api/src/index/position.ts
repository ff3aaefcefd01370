/** Where a page of a listing begins: after this dump. */
export interface Position {
  namespace: string;
  crashedAt: number;
  name: string;
}
