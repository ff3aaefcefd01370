/*
 * rename-self NAME: take a name of at most 15 bytes, with whatever bytes are in it, say so, and wait.
 */
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc != 2 || prctl(PR_SET_NAME, argv[1]) != 0) return 2;
  puts("named");
  fflush(stdout);
  pause();
  return 0;
}
