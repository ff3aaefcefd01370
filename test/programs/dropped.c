/* Becomes uid and gid 65534 without an exec, as a server that drops its rights does, then SIGSEGV: the kernel no longer
   lets its user read it (dump mode 2 with fs.suid_dumpable=2). */
#include <unistd.h>

#include "crash.h"

int main(void) {
  if (setgid(65534) != 0 || setuid(65534) != 0) return 1;
  crash_here((volatile int *)0);
  return 0;
}
