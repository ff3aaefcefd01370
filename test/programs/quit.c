/* SIGQUIT: sent by the process to itself, so that the core names a sender. */
#include <signal.h>

#include "crash.h"

int main(void) {
  about_to_crash();
  kill(getpid(), SIGQUIT);
  pause();
  return 0;
}
