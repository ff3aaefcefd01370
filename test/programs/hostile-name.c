/* SIGSEGV under a name of the caller's choosing: sets its comm to the first argument. */
#include <sys/prctl.h>

#include "crash.h"

int main(int argc, char **argv) {
  if (argc > 1) prctl(PR_SET_NAME, argv[1]);
  crash_here((volatile int *)0);
  return 0;
}
