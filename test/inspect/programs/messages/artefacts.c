/* Writes what a runtime would write about a crash, and what somebody hostile would put beside it, and ends. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void file(const char *name, const char *text, size_t times) {
  FILE *out = fopen(name, "w");
  if (out == NULL) exit(3);
  for (size_t at = 0; at < times; at++) fputs(text, out);
  fclose(out);
}

int main(int argc, char **argv) {
  char name[200];
  int pid = getpid();
  snprintf(name, sizeof name, "hs_err_pid%d.log", pid);
  file(name, "# its own words\n", 1);
  if (argc > 1 && strcmp(argv[1], "hostile") == 0) {
    snprintf(name, sizeof name, "hs_err_pid%d.log", pid + 1);
    file(name, "another's\n", 1);
    file("large.crashreport.json", "0123456789abcdef", 200 * 1024);
    snprintf(name, sizeof name, "javacore.20261130.100000.%d.0001.txt", pid);
    if (symlink("/etc/passwd", name) != 0) return 3;
    snprintf(name, sizeof name, "report.20261130.100000.%d.0.001.json", pid);
    if (mkfifo(name, 0600) != 0) return 3;
    snprintf(name, sizeof name, "report.20261130.100000.%d.0.002.json", pid);
    file(name, "old\n", 1);
    struct timespec old[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    if (utimensat(AT_FDCWD, name, old, 0) != 0) return 3;
    snprintf(name, sizeof name, "report.20261130.100000.%d.0.003.json", pid);
    file(name, "somebody else's\n", 1);
    if (chown(name, 12345, 12345) != 0) return 3;
  }
  if (argc > 2) {
    /* More names than anybody reads. */
    for (int at = 0; at < atoi(argv[2]); at++) {
      snprintf(name, sizeof name, "%s/a-rather-long-name-of-a-file-that-nobody-wants-%d", argv[3], at);
      if (mknod(name, S_IFREG | 0600, 0) != 0) return 3;
    }
    if (chdir(argv[3]) != 0) return 3;
  }
  abort();
}
