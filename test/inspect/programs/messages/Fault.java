/** Ends by a fault that the virtual machine did not expect, and writes about it. */
public class Fault {
  public static void main(String[] args) throws Exception {
    long pid = ProcessHandle.current().pid();
    new ProcessBuilder("kill", "-SEGV", String.valueOf(pid)).inheritIO().start();
    Thread.sleep(60_000);
  }
}
