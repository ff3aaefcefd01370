/** Waits to be killed, with the threads that every virtual machine has. */
public class Crash {
  public static void main(String[] args) throws Exception {
    ProcessHandle self = ProcessHandle.current();
    new ProcessBuilder("kill", "-ABRT", String.valueOf(self.pid())).inheritIO().start();
    Thread.sleep(60_000);
  }
}
