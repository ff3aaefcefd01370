/*
 * The first process of an arm64 machine that lives for a minute: makes the kernel start the composer, lets programs crash,
 * and writes what became of it to the disk.
 *
 *   /modules      kernel modules to load, a path a line
 *   /jobs         the crashes: COMPRESSION PROGRAM [ARGUMENT…], a line each
 *   /cdh          HOST_DIR, with cdc, its lib and measure
 *   /dev/vda      the answer: per file two 64-bit lengths, name, bytes; two zeros at the end
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORDS = 16, LINE = 1024, HANDLER_SECONDS = 90 };

static void die(const char *what) {
  printf("init: %s: %s\n", what, strerror(errno));
  fflush(stdout);
  sync();
  reboot(RB_POWER_OFF);
  _exit(1);
}

static void put(const char *path, const char *format, ...) {
  int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
  va_list arguments;
  va_start(arguments, format);
  if (fd < 0 || vdprintf(fd, format, arguments) < 0) die(path);
  va_end(arguments);
  close(fd);
}

/* Runs a program, its output into a file, and gives its wait status. */
static int run(char **words, const char *output, pid_t *ran) {
  pid_t pid = fork();
  if (pid == 0) {
    struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
    setrlimit(RLIMIT_CORE, &unlimited);
    int fd = open(output, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(fd, 1);
    dup2(fd, 2);
    execv(words[0], words);
    _exit(127);
  }
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
  *ran = pid;
  return status;
}

static int split(char *line, char **words) {
  int count = 0;
  for (char *word = strtok(line, " \n"); word != NULL && count < WORDS - 1; word = strtok(NULL, " \n")) words[count++] = word;
  words[count] = NULL;
  return count;
}

static void keep_text(const char *from, const char *to) {
  char buffer[65536];
  int fd = open(from, O_RDONLY);
  ssize_t length = fd < 0 ? -1 : read(fd, buffer, sizeof buffer - 1);
  if (fd >= 0) close(fd);
  buffer[length < 0 ? 0 : length] = 0;
  put(to, "%s", buffer);
}

static int lines_of(const char *path) {
  FILE *file = fopen(path, "r");
  int count = 0;
  for (int byte; file != NULL && (byte = fgetc(file)) != EOF;) count += byte == '\n';
  if (file != NULL) fclose(file);
  return count;
}

static void load_modules(void) {
  FILE *list = fopen("/modules", "r");
  char line[LINE];
  while (list != NULL && fgets(line, sizeof line, list) != NULL) {
    line[strcspn(line, "\n")] = 0;
    int fd = open(line, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST)) die(line);
    close(fd);
  }
  if (list != NULL) fclose(list);
}

static void crash_all(void) {
  FILE *jobs = fopen("/jobs", "r");
  char line[LINE], *words[WORDS];
  int done = 0;
  while (jobs != NULL && fgets(line, sizeof line, jobs) != NULL) {
    char said[LINE];
    snprintf(said, sizeof said, "%s", line);
    said[strcspn(said, "\n")] = 0;
    if (split(line, words) < 2) continue;
    unlink("/cdh/.env");
    put("/cdh/.env", "RATE_LIMIT=0\nKEEP_PER_SITE=0\nIGNORE_CRIO=true\nMETADATA_TIMEOUT=60\nCOMPRESSION=%s\n", words[0]);
    pid_t pid;
    int status = run(words + 1, "/out/said.txt", &pid);
    done += 1;
    put("/out/crashes.jsonl", "{\"job\":\"%s\",\"pid\":%d,\"signal\":%d,\"coreDumped\":%s}\n", said, pid,
        WIFSIGNALED(status) ? WTERMSIG(status) : 0, WCOREDUMP(status) ? "true" : "false");
    for (time_t end = time(NULL) + HANDLER_SECONDS; lines_of("/cdh/report") < done && time(NULL) < end;) usleep(20000);
    printf("init: %s: status %x\n", said, (unsigned)status);
    fflush(stdout);
  }
}

static void write_all(int disk, const void *bytes, size_t length) {
  for (const char *at = bytes; length > 0;) {
    ssize_t written = write(disk, at, length);
    if (written <= 0) die("/dev/vda");
    at += written;
    length -= (size_t)written;
  }
}

static void answer_file(int disk, const char *path) {
  int fd = open(path, O_RDONLY);
  struct stat facts;
  if (fd < 0 || fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode)) {
    if (fd >= 0) close(fd);
    return;
  }
  uint64_t lengths[2] = {strlen(path), (uint64_t)facts.st_size};
  write_all(disk, lengths, sizeof lengths);
  write_all(disk, path, lengths[0]);
  static char buffer[65536];
  for (uint64_t left = lengths[1]; left > 0;) {
    ssize_t got = read(fd, buffer, left < sizeof buffer ? left : sizeof buffer);
    if (got <= 0) die(path);
    write_all(disk, buffer, (size_t)got);
    left -= (uint64_t)got;
  }
  close(fd);
}

static void answer(void) {
  static const char *const places[] = {"/out", "/cdh", "/cdh/cores"};
  int disk = open("/dev/vda", O_WRONLY);
  if (disk < 0) die("/dev/vda");
  for (size_t place = 0; place < sizeof places / sizeof *places; place++) {
    DIR *directory = opendir(places[place]);
    for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;) {
      char path[LINE];
      snprintf(path, sizeof path, "%s/%s", places[place], entry->d_name);
      if (strcmp(entry->d_name, "cdc") != 0 && strcmp(entry->d_name, "measure") != 0) answer_file(disk, path);
    }
  }
  uint64_t end[2] = {0, 0};
  write_all(disk, end, sizeof end);
  fsync(disk);
  close(disk);
}

int main(void) {
  setenv("GOTRACEBACK", "crash", 1);
  mkdir("/proc", 0755);
  mkdir("/sys", 0755);
  mkdir("/dev", 0755);
  mkdir("/tmp", 01777);
  mkdir("/out", 0700);
  mkdir("/cdh/cores", 0700);
  mount("proc", "/proc", "proc", 0, NULL);
  mount("sysfs", "/sys", "sysfs", 0, NULL);
  mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
  /* The root of an initramfs says that it has no room. */
  mount("tmpfs", "/cdh/cores", "tmpfs", 0, "mode=0700,size=512m");
  mount("tmpfs", "/tmp", "tmpfs", 0, NULL);
  load_modules();
  pid_t pid;
  char *self_test[] = {"/cdh/cdc", "--self-test", NULL};
  put("/out/self-test-status", "%d\n", run(self_test, "/out/self-test.txt", &pid));
  keep_text("/proc/version", "/out/version.txt");
  keep_text("/proc/cpuinfo", "/out/cpuinfo.txt");
  FILE *pattern = fopen("/pattern", "r");
  char line[LINE] = "";
  if (pattern == NULL || fgets(line, sizeof line, pattern) == NULL) die("/pattern");
  put("/proc/sys/kernel/core_pattern", "%s", line);
  put("/proc/sys/kernel/core_pipe_limit", "16");
  put("/proc/sys/fs/suid_dumpable", "2");
  crash_all();
  answer();
  printf("init: done\n");
  fflush(stdout);
  reboot(RB_POWER_OFF);
  return 0;
}
