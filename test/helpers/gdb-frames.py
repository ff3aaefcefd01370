# Print all frames of all threads, with their kind: 0 is a function's own frame, 2 an inlined one, 3 a tail call, 4 a signal's.
import gdb

LIMIT = 200

for thread in sorted(gdb.selected_inferior().threads(), key=lambda one: one.num):
    thread.switch()
    print("THREAD", thread.ptid[1])
    try:
        frame = gdb.newest_frame()
        for _ in range(LIMIT):
            if frame is None:
                break
            print("FRAME", hex(frame.pc()), frame.type(), frame.name())
            frame = frame.older()
    except gdb.error:
        pass
