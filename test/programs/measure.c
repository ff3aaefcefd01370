/*
 * measure REPORT PROGRAM [ARGUMENT…]
 *
 * Stands between the kernel and a handler: runs it with the descriptors it was given, and appends one line of JSON to
 * REPORT when it has ended. Holds none of the descriptors itself, so that the crashed process is let go when the handler
 * lets it go. A socket-activated program finds its LISTEN_PID right.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "crash.h"

int main(int argc, char **argv) {
  uint64_t started = now_ns();
  if (argc < 3) return 2;
  pid_t pid = fork();
  if (pid == 0) {
    if (getenv("LISTEN_PID") != NULL) {
      char text[24];
      snprintf(text, sizeof text, "%d", getpid());
      setenv("LISTEN_PID", text, 1);
    }
    execv(argv[2], argv + 2);
    _exit(126);
  }
  for (int fd = 0; fd < 64; fd++) close(fd);
  int status = 0;
  struct rusage usage = {0};
  if (pid > 0)
    while (wait4(pid, &status, 0, &usage) < 0 && errno == EINTR) {}
  int report = open(argv[1], O_WRONLY | O_CREAT | O_APPEND, 0600);
  if (report < 0) return 1;
  dprintf(report, "{\"pid\":%d,\"startedNs\":%llu,\"endedNs\":%llu,\"exitCode\":%d,\"signal\":%d,\"maxRssBytes\":%llu,\"userMs\":%ld,\"systemMs\":%ld}\n",
          pid, (unsigned long long)started, (unsigned long long)now_ns(), WIFEXITED(status) ? WEXITSTATUS(status) : -1,
          WIFSIGNALED(status) ? WTERMSIG(status) : 0, (unsigned long long)usage.ru_maxrss * 1024,
          (long)(usage.ru_utime.tv_sec * 1000 + usage.ru_utime.tv_usec / 1000),
          (long)(usage.ru_stime.tv_sec * 1000 + usage.ru_stime.tv_usec / 1000));
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
