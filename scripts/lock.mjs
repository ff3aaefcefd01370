import fs from "node:fs";
import path from "node:path";
import process from "node:process";

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

function holderOf(lock) {
  try {
    return Number(fs.readFileSync(lock, "utf8"));
  } catch {
    return 0;
  }
}

/**
 * Do work while no other process of this checkout does it; a lock whose holder died is taken over.
 *
 * @template T
 * @param {string} lock the lock file; holds the process id of its holder
 * @param {() => Promise<T>} work
 * @param {(holder: number) => void} [onWait] called once when another process holds the lock
 * @returns {Promise<T>}
 */
export async function withLock(lock, work, onWait) {
  fs.mkdirSync(path.dirname(lock), { recursive: true });
  // A file that is linked into place is never seen without its content.
  const own = `${lock}.${process.pid}`;
  for (let told = false; ;) {
    fs.writeFileSync(own, String(process.pid));
    try {
      fs.linkSync(own, lock);
      break;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
    } finally {
      fs.rmSync(own, { force: true });
    }
    const holder = holderOf(lock);
    if (holder > 0 && !isAlive(holder)) {
      fs.rmSync(lock, { force: true });
      continue;
    }
    if (!told) onWait?.(holder);
    told = true;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  try {
    return await work();
  } finally {
    fs.rmSync(lock, { force: true });
  }
}
