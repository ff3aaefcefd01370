/*
 * own-uid: crash in a thread that has taken another uid for itself alone, by the raw system call, as file servers do.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static void *work(void *unused) {
  (void)unused;
  if (syscall(SYS_setresgid, 1000, 1000, -1) != 0 || syscall(SYS_setresuid, 1000, 1000, -1) != 0) _exit(2);
  /* A change of ids makes a process undumpable for its own user; file servers ask for their dumps again. */
  prctl(PR_SET_DUMPABLE, 1);
  raise(SIGSEGV);
  return NULL;
}

int main(void) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, work, NULL) != 0) return 3;
  pthread_join(thread, NULL);
  return 4;
}
