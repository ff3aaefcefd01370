import { describe, expect, it } from "vitest";
import { isRuntimeFile, isSystemFile, isWaiting, ruleFor } from "./frame-rules.ts";
import { normalName } from "./normal-name.ts";

describe("rules of frames", () => {
  it.each([
    ["C", "__pthread_kill_implementation", "carrier", undefined],
    ["C", "__GI_raise", "carrier", undefined],
    ["C", "abort", "carrier", undefined],
    ["C", "__assert_fail", "carrier", "assert"],
    ["C", "__assert_fail_base.cold", "carrier", "assert"],
    ["C", "__stack_chk_fail", "carrier", "stack smashed"],
    ["C", "__fortify_fail", "carrier", "buffer overflow"],
    ["C", "__chk_fail", "carrier", "buffer overflow"],
    ["C", "malloc_printerr", "carrier", "heap"],
    ["C", "_int_free", "passed", "heap"],
    ["C", "__libc_free", "passed", "heap"],
    ["C", "free", "passed", "heap"],
    ["C", "malloc", "passed", "heap"],
    ["C", "__memmove_avx_unaligned_erms", "passed", undefined],
    ["C", "__memmove_avx512_unaligned_erms", "passed", undefined],
    ["C", "__memset_avx2_unaligned_erms_rtm", "passed", undefined],
    ["C", "__memcpy_avx512_no_vzeroupper", "passed", undefined],
    ["C", "__memmove_sse2_unaligned_erms", "passed", undefined],
    ["C", "__memset_erms", "passed", undefined],
    ["C", "__strlen_evex", "passed", undefined],
    ["C", "__memcpy_chk", "passed", undefined],
    ["C", "strcmp", "passed", undefined],
    ["C", "__libc_start_main@@GLIBC_2.34", "starter", undefined],
    ["C", "__libc_start_call_main", "starter", undefined],
    ["C", "start_thread", "starter", undefined],
    ["C", "__clone3", "starter", undefined],
    ["C++", "std::terminate()", "carrier", "terminate"],
    ["C++", "__cxxabiv1::__terminate(void (*)())", "carrier", undefined],
    ["C++", "__cxa_throw", "carrier", undefined],
    ["C++", "std::__throw_out_of_range_fmt(char const*, ...)", "carrier", undefined],
    ["C++", "std::__glibcxx_assert_fail(char const*, int, char const*, char const*)", "carrier", "assert"],
    ["C++", "operator delete(void*)", "passed", "heap"],
    ["C++", "std::vector<int, std::allocator<int> >::at(unsigned long)", "passed", undefined],
    ["Rust", "core::panicking::panic_bounds_check::h0123456789abcdef", "carrier", "panic"],
    ["Rust", "core::option::unwrap_failed", "carrier", "panic"],
    ["Rust", "rust_begin_unwind", "carrier", undefined],
    ["Rust", "std::sys::backtrace::__rust_end_short_backtrace", "carrier", undefined],
    ["Rust", "std::sys::backtrace::__rust_begin_short_backtrace", "starter", undefined],
    ["Rust", "std::rt::__rust_abort", "carrier", undefined],
    ["Rust", "panic_abort::__rust_start_panic", "carrier", undefined],
    ["Rust", "std::panicking::try", "starter", undefined],
    ["Rust", "std::rt::lang_start_internal", "starter", undefined],
    ["Go", "runtime.gopanic", "carrier", "panic"],
    ["Go", "runtime.goPanicIndex", "carrier", "panic"],
    ["Go", "runtime.sigpanic", "carrier", "fault"],
    ["Go", "runtime.throw", "carrier", "fatal"],
    ["Go", "runtime.mapassign_faststr", "carrier", undefined],
    ["Go", "runtime.goexit", "starter", undefined],
    ["JVM", "VMError::report_and_die(int, char const*)", "carrier", undefined],
    [
      "JVM",
      "JavaCalls::call_helper(JavaValue*, methodHandle const&, JavaCallArguments*, JavaThread*)",
      "passed",
      undefined,
    ],
    ["JVM", "JavaThread::run()", "starter", undefined],
    ["CPython", "_PyEval_EvalFrameDefault", "passed", undefined],
    ["CPython", "_Py_FatalErrorFunc", "carrier", "fatal"],
    ["CPython", "Py_RunMain", "starter", undefined],
    ["V8", "node::Abort()", "carrier", "fatal"],
    ["V8", "Builtins_InterpreterEntryTrampoline", "passed", undefined],
    ["V8", "v8::internal::Heap::FatalProcessOutOfMemory(char const*)", "carrier", "out of memory"],
    ["V8", "node::Start(int, char**)", "starter", undefined],
  ])("of %s: %s is a %s", (_of, name, role, kind) => {
    const rule = ruleFor(normalName(name));
    expect({ role: rule?.role, kind: rule?.kind }).toEqual({ role, kind });
  });

  it.each([
    "pay",
    "main",
    "free_cart",
    "memory_of",
    "abort_order",
    "std_main",
    "main.runtime",
    "PhaseIdealLoop::build",
    "Heap::grow",
    "string_at",
  ])("say nothing of a program's own %s", (name) => {
    expect(ruleFor(normalName(name))).toBeUndefined();
  });

  it.each([
    ["/usr/lib/x86_64-linux-gnu/libc.so.6", true, false],
    ["/lib/ld-musl-x86_64.so.1", true, false],
    ["/lib64/ld-linux-x86-64.so.2", true, false],
    ["/usr/lib/libstdc++.so.6.0.33", true, false],
    ["[vdso]", true, false],
    ["/usr/bin/python3.11", false, true],
    ["/opt/jdk/lib/server/libjvm.so", false, true],
    ["/usr/local/bin/node", false, true],
    ["/opt/checkout", false, false],
    ["/opt/libcart.so.1", false, false],
    ["/opt/libcurl.so.4", false, false],
    ["/opt/node_exporter", false, false],
  ])("know whose file %s is", (path, isSystem, isRuntime) => {
    expect([isSystemFile(path), isRuntimeFile(path)]).toEqual([isSystem, isRuntime]);
  });

  it("know where a thread waits", () => {
    for (const name of ["epoll_wait", "__GI___clock_nanosleep", "read", "pthread_cond_wait", "runtime.futex"])
      expect([name, isWaiting(normalName(name))]).toEqual([name, true]);
    for (const name of ["raise", "pay", "reader", "memcpy"]) expect([name, isWaiting(name)]).toEqual([name, false]);
  });
});
