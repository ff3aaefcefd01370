import java.lang.reflect.Field;
import sun.misc.Unsafe;

/** Writes to an address that is none, from a thread of its own: the JVM writes its report, and aborts. */
public class Wild {
  private static Unsafe memory;

  static void pay(long address) {
    memory.putInt(address, 1);
  }

  static void handle(int depth) {
    if (depth > 0) handle(depth - 1);
    else pay(0x10);
  }

  public static void main(String[] arguments) throws Exception {
    Field field = Unsafe.class.getDeclaredField("theUnsafe");
    field.setAccessible(true);
    memory = (Unsafe) field.get(null);
    Thread worker = new Thread(() -> handle(3), "order-worker");
    worker.start();
    worker.join();
  }
}
