// Prints where CPython keeps what, as one row of packages/unwind/src/python/layouts.ts. See python.sh.
#define Py_BUILD_CORE 1
#include <Python.h>
#include <stddef.h>
#include <stdio.h>
#include "internal/pycore_frame.h"
#include "internal/pycore_interp.h"
#include "internal/pycore_runtime.h"
#define P(n, v) printf("      %s: %d,\n", n, (int)(v))
int main(void) {
  printf("  [\n    %d,\n    {\n", PY_MINOR_VERSION);
  P("interpreters", offsetof(_PyRuntimeState, interpreters.head));
  P("nextInterpreter", offsetof(PyInterpreterState, next));
  P("threads", offsetof(PyInterpreterState, threads.head));
  P("nextThread", offsetof(PyThreadState, next));
  P("nativeId", offsetof(PyThreadState, native_thread_id));
  P("cframe", offsetof(PyThreadState, cframe));
  P("currentFrame", offsetof(_PyCFrame, current_frame));
  P("previous", offsetof(_PyInterpreterFrame, previous));
  P("code", offsetof(_PyInterpreterFrame, f_code));
  P("instruction", offsetof(_PyInterpreterFrame, prev_instr));
  P("owner", offsetof(_PyInterpreterFrame, owner));
  P("isEntry",
#if PY_MINOR_VERSION == 11
    offsetof(_PyInterpreterFrame, is_entry)
#else
    -1
#endif
  );
  P("fileName", offsetof(PyCodeObject, co_filename));
  P("qualifiedName", offsetof(PyCodeObject, co_qualname));
  P("lineTable", offsetof(PyCodeObject, co_linetable));
  P("firstLine", offsetof(PyCodeObject, co_firstlineno));
  P("bytecode", offsetof(PyCodeObject, co_code_adaptive));
  P("textState", offsetof(PyASCIIObject, state));
  P("textLength", offsetof(PyASCIIObject, length));
  P("asciiText", sizeof(PyASCIIObject));
  P("otherText", sizeof(PyCompactUnicodeObject));
  P("bytesLength", offsetof(PyVarObject, ob_size));
  P("bytes", offsetof(PyBytesObject, ob_sval));
  printf("    },\n  ],\n");
}
