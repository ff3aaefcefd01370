/* SIGFPE: an integer division by zero; where the processor does not trap (arm64), the signal is raised. */
#include <signal.h>

#include "crash.h"

int main(int argc, char **argv) {
  (void)argv;
  volatile int zero = argc > 1000;
  about_to_crash();
  volatile int quotient = 7 / zero;
  raise(SIGFPE);
  return quotient;
}
