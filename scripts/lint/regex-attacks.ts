/** A part of a regular expression, as far as texts against it need it. */
type Part =
  | { kind: "text"; samples: readonly string[] }
  | { kind: "choice"; branches: readonly Part[][] }
  | { kind: "repeated"; body: Part; isOptional: boolean; isEndless: boolean };

/** What a class or an escape may stand for; what else one wants is found by its own source. */
const CANDIDATES = ["a", "0", "_", "A", " ", ".", "-", ":", "\n", "é", ...printableAscii()];
/** Samples of one part: as many alternatives as the longest list has. */
const SAMPLES_MAX = 64;

/** Where a regular expression stands, for a report. */
export interface FoundRegex {
  regex: RegExp;
  line: number;
}

const LITERAL =
  /(?<=^|[(,=:&|?![{;>\s])\/(?![/*])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\[\n])+\/[dgimsuvy]*(?=$|[\s,;.)\]}])/g;

/** Take the literals of a source file. Comments are passed over. */
export function regexesOf(source: string): FoundRegex[] {
  return source.split("\n").flatMap((text, index) => {
    if (/^\s*(?:\/\/|\/?\*)/.test(text)) return [];
    return [...text.matchAll(LITERAL)].flatMap(([literal]) => {
      const end = literal.lastIndexOf("/");
      try {
        return [{ regex: new RegExp(literal.slice(1, end), literal.slice(end + 1)), line: index + 1 }];
      } catch {
        return [];
      }
    });
  });
}

/**
 * Make texts that cost a backtracking engine most: what leads to a repetition, each way through its body again and again,
 * then what does not fit.
 */
export function attacksOn(regex: RegExp, length: number): string[] {
  const parts = new Parser(regex).parse();
  const attacks = new Set<string>();
  const add = (before: string, unit: string): void => {
    if (unit === "") return;
    const body = unit.repeat(Math.ceil(length / unit.length));
    for (const end of ["", "_x", "\u0001", " !"]) attacks.add(`${before}${body}`.slice(0, length - end.length) + end);
  };
  const visit = (sequence: readonly Part[], before: string): void => {
    let lead = before;
    for (const part of sequence) {
      if (part.kind === "choice") for (const branch of part.branches) visit(branch, lead);
      if (part.kind === "repeated") {
        if (part.isEndless) for (const unit of samplesOf(part.body)) add(lead, unit);
        visit([part.body], lead);
      }
      lead += samplesOf(part)[0] ?? "";
    }
  };
  visit(parts, "");
  // All of it, again and again: for those that may begin anywhere, and for `.*` around a text.
  for (const unit of samplesOfAll(parts)) add("", unit);
  return [...attacks];
}

function samplesOf(part: Part): readonly string[] {
  if (part.kind === "text") return part.samples;
  if (part.kind === "choice") return part.branches.flatMap(samplesOfAll).slice(0, SAMPLES_MAX);
  return part.isOptional ? ["", ...samplesOf(part.body)] : samplesOf(part.body);
}

/** Each part's first sample, and in turn each other one of it. */
function samplesOfAll(sequence: readonly Part[]): string[] {
  const choices = sequence.map(samplesOf);
  const firsts = choices.map(([first = ""]) => first);
  return [
    firsts.join(""),
    ...choices.flatMap((samples, at) => samples.slice(1).map((sample) => firsts.with(at, sample).join(""))),
  ].slice(0, SAMPLES_MAX);
}

class Parser {
  readonly #source: string;
  readonly #flags: string;
  #at = 0;

  constructor({ source, flags }: RegExp) {
    this.#source = source;
    this.#flags = flags.replace(/[gy]/g, "");
  }

  parse(): Part[] {
    const branches = this.#branches();
    return branches.length === 1 ? (branches[0] ?? []) : [{ kind: "choice", branches }];
  }

  #branches(): Part[][] {
    const branches: Part[][] = [[]];
    while (this.#at < this.#source.length && this.#source[this.#at] !== ")") {
      if (this.#take(/\|/y) === undefined) branches.at(-1)?.push(this.#quantified(this.#atom()));
      else branches.push([]);
    }
    return branches;
  }

  #atom(): Part {
    if (this.#take(/\^|\$|\\b|\\B/y) !== undefined) return { kind: "text", samples: [""] };
    const opening = this.#take(/\((?:\?(?:[:=!]|<[=!]|<\w+>))?/y);
    if (opening !== undefined) {
      const branches = this.#branches();
      this.#take(/\)/y);
      return /[=!]$/.test(opening) ? { kind: "text", samples: [""] } : { kind: "choice", branches };
    }
    const one = this.#take(
      /\\u\{[\da-f]+\}|\\u[\da-f]{4}|\\x[\da-f]{2}|\\[pPk][{<][^}>]*[}>]|\\c[A-Z]|\\[^]|\[(?:\\[^]|[^\]\\])*\]|[^]/iy,
    );
    const matches = new RegExp(`^(?:${one})$`, this.#flags);
    const candidates = [one ?? "", ...CANDIDATES];
    return { kind: "text", samples: candidates.filter((text) => matches.test(text)).slice(0, 2) };
  }

  #quantified(body: Part): Part {
    const sign = this.#take(/[*+?]\??|\{\d+(?:,\d*)?\}\??/y);
    if (sign === undefined) return body;
    const times = Number(/\d+/.exec(sign)?.[0] ?? (sign.startsWith("+") ? 1 : 0));
    const most = Number(/,(\d+)/.exec(sign)?.[1] ?? 0);
    const isEndless = /^[*+]|,\}/.test(sign) || most > 16;
    if (times <= 1) return { kind: "repeated", body, isOptional: times === 0, isEndless };
    const samples = samplesOf(body).map((sample) => sample.repeat(times));
    return isEndless ? { kind: "repeated", body, isOptional: false, isEndless } : { kind: "text", samples };
  }

  #take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const [found] = pattern.exec(this.#source) ?? [];
    if (found !== undefined) this.#at += found.length;
    return found;
  }
}

function printableAscii(): string[] {
  return Array.from({ length: 95 }, (_, index) => String.fromCharCode(32 + index));
}
