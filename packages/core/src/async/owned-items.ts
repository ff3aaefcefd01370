/** What an iterator still has to give back; it must not lead to the iterator, which would never be collected. */
interface Debt {
  release: (() => unknown) | undefined;
}

const forgotten = new FinalizationRegistry<Debt>((debt) => settle(debt));

function settle(debt: Debt): void {
  const { release } = debt;
  debt.release = undefined;
  release?.();
}

/**
 * Hand on items, and give back what they hold once nobody reads them any more: at their end, at an error, when the reader
 * stops, even before the first item, and when they are forgotten unread. A generator's `finally` does that only once
 * the generator has begun.
 * @param release is called once; it must not refer to what is returned
 */
export function ownedItems<T>(
  items: AsyncIterable<T> | Iterable<T>,
  release: () => unknown,
): AsyncIterableIterator<T, undefined> {
  const debt: Debt = { release };
  const iterator = iteratorOf(items);
  const owned: AsyncIterableIterator<T, undefined> = {
    next: async () => {
      try {
        const step = await iterator.next();
        if (step.done !== true) return { done: false, value: step.value };
      } catch (error) {
        settle(debt);
        throw error;
      }
      settle(debt);
      return { done: true, value: undefined };
    },
    return: async () => {
      try {
        await iterator.return?.();
      } finally {
        settle(debt);
      }
      return { done: true, value: undefined };
    },
    [Symbol.asyncIterator]: () => owned,
  };
  forgotten.register(owned, debt);
  return owned;
}

function iteratorOf<T>(items: AsyncIterable<T> | Iterable<T>): AsyncIterator<T> | Iterator<T> {
  return Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
}
