/** Do work while no other process of this checkout does it; a lock whose holder died is taken over. */
export function withLock<T>(lock: string, work: () => Promise<T>, onWait?: (holder: number) => void): Promise<T>;
