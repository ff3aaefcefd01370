/* SIGSEGV after it has forbidden itself a core (soft RLIMIT_CORE 0): the kernel starts a pipe handler all the same. */
#include <sys/resource.h>

#include "crash.h"

int main(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_CORE, &limit) != 0) return 1;
  limit.rlim_cur = 0;
  if (setrlimit(RLIMIT_CORE, &limit) != 0) return 1;
  crash_here((volatile int *)0);
  return 0;
}
