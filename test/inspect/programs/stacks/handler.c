/* A signal's handler, on a stack of its own, gives up. */
#include <signal.h>
#include <stdlib.h>

volatile int sink;
static char alternate[65536];

__attribute__((noinline)) static void clean_up(int number) {
  sink = number;
  abort();
}

static void on_signal(int number, siginfo_t *info, void *context) {
  (void)info;
  (void)context;
  clean_up(number);
}

__attribute__((noinline)) static int follow(int *pointer) { return *pointer; }

__attribute__((noinline)) int work(int *pointer) {
  int value = follow(pointer);
  sink = value;
  return value + 1;
}

int main(void) {
  stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
  sigaltstack(&stack, 0);
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigaction(SIGSEGV, &action, 0);
  return work(0) + 1;
}
