/*
 * launch SOFT HARD PROGRAM [ARGUMENT…]
 *
 * Runs PROGRAM with that RLIMIT_CORE (bytes or "unlimited"), reaps it the moment the kernel allows, and writes one line
 * of JSON to descriptor 3. The time from the program's stamp (crash.h) to the reap is how long the kernel held the process.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "crash.h"

static rlim_t limit_of(const char *text) {
  return strcmp(text, "unlimited") == 0 ? RLIM_INFINITY : (rlim_t)strtoull(text, NULL, 10);
}

int main(int argc, char **argv) {
  int pipe_fds[2];
  if (argc < 4 || pipe(pipe_fds) != 0) return 2;
  pid_t pid = fork();
  if (pid == 0) {
    struct rlimit limit = {limit_of(argv[1]), limit_of(argv[2])};
    dup2(pipe_fds[1], STAMP_FD);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    close(3);
    if (setrlimit(RLIMIT_CORE, &limit) == 0) execv(argv[3], argv + 3);
    fprintf(stderr, "launch: %s: %s\n", argv[3], strerror(errno));
    _exit(126);
  }
  if (pid < 0) return 2;
  close(pipe_fds[1]);
  int status;
  struct rusage usage;
  while (wait4(pid, &status, 0, &usage) < 0)
    if (errno != EINTR) return 2;
  uint64_t reaped = now_ns(), stamp = 0, one;
  while (read(pipe_fds[0], &one, sizeof one) == sizeof one) stamp = one;
  dprintf(3, "{\"pid\":%d,\"exitCode\":%d,\"signal\":%d,\"coreDumped\":%s,\"stampNs\":%llu,\"holdNs\":%llu,\"maxRssKib\":%ld}\n", pid,
          WIFEXITED(status) ? WEXITSTATUS(status) : -1, WIFSIGNALED(status) ? WTERMSIG(status) : 0,
          WIFSIGNALED(status) && WCOREDUMP(status) ? "true" : "false",
          (unsigned long long)stamp, (unsigned long long)(stamp == 0 ? 0 : reaped - stamp), usage.ru_maxrss);
  return 0;
}
