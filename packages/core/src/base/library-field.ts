/** What a field must be. */
interface FieldTypes {
  number: number;
  function: (...args: never[]) => unknown;
  object: object;
}

/**
 * Read a field of a library's object that its documentation does not promise. Such a field is used in one file only, and
 * always through here, so that an update of the library that changes it is told by name, in every test that gets there.
 * @param owner names library and class: `yauzl's ZipFile`
 * @throws {Error} when the field is not there or not of this type
 */
export function libraryField<Type extends keyof FieldTypes>(
  object: object,
  field: string,
  type: Type,
  owner: string,
): FieldTypes[Type] {
  const value = (object as Record<string, unknown>)[field];
  if (typeof value === type && value !== null) return value as FieldTypes[Type];
  throw new Error(`${owner} has no ${type} ${field} any more: an update of the library has changed what is relied on`);
}
