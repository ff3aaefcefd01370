/* A recursion without end. */
volatile int sink;

__attribute__((noinline)) int descend(int depth) {
  volatile char room[160];
  room[depth % 160] = (char)depth;
  int below = descend(depth + 1);
  return below + room[0];
}

__attribute__((noinline)) int start_here(void) {
  int found = descend(0);
  sink = found;
  return found + 1;
}

int main(void) { return start_here() + 1; }
