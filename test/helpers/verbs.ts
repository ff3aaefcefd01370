/** Read the verbs of a program from its first page of help: a word or two each, such as `symbols push`. */
export function verbsIn(help: string): string[] {
  return [...help.matchAll(/(?<=\n {2})[a-z][a-z-]+(?: [a-z-]+)?(?=[ \n])/g)].map(([verb]) => verb);
}
