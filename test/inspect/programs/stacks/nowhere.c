/* A call through a pointer that is null, or leads into data. */
volatile int sink;
static int page[4096];
static void (*volatile callback)(void);

__attribute__((noinline)) static void dispatch(int value) {
  sink = value;
  callback();
  sink = 2;
}

int main(int argc, char **argv) {
  (void)argv;
  if (argc > 1) callback = (void (*)(void))page;
  dispatch(3);
  return sink;
}
