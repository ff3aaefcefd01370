/**
 * What a function on a stack says about where a bug is. Names are as {@link normalName} writes them: without parameters,
 * template arguments and the compiler's suffixes. Everybody who chooses frames reads this table.
 */
export interface FrameRule {
  /** Whose function it is. */
  of: "C" | "C++" | "Rust" | "Go" | "JVM" | "CPython" | "V8";
  /**
   * - `carrier`: only carries a failure to the end of the process; the one who asked for it stands below.
   * - `passed`: of a language's library or runtime, between functions of the program: a caller is told, it is not.
   * - `starter`: comes before a program's or a thread's own first function; nothing below tells more.
   */
  role: "carrier" | "passed" | "starter";
  names: RegExp;
  /** What kind of failure it is, for the front of a signature. */
  kind?: string;
  /** Frames above the outermost one of these belong to the failure's handling, whatever they are. */
  isSentinel?: true;
}

/** The rules, the first one that fits a name holds. */
export const FRAME_RULES: readonly FrameRule[] = [
  // How libc starts a program and its threads.
  {
    of: "C",
    role: "starter",
    names: /^(?:_start|_start_c|start_thread|start|thread_start|__pthread_start)$/,
  },
  {
    of: "C",
    role: "starter",
    names:
      /^(?:__GI_+|__)?(?:libc_start_main|libc_start_call_main|libc_start_main_impl|libc_start_main_stage2|clone|clone3)$/,
  },
  // How libc ends a process. Its own functions have no names where it is stripped, so only exported ones have kinds.
  {
    of: "C",
    role: "carrier",
    names: /^(?:__GI_+|__)?(?:assert_fail|assert_perror_fail|assert)(?:_base)?$/,
    kind: "assert",
  },
  {
    of: "C",
    role: "carrier",
    names: /^(?:__GI_+|__)?(?:stack_chk_fail|stack_chk_fail_local)$/,
    kind: "stack smashed",
  },
  { of: "C", role: "carrier", names: /^(?:__GI_+|__)?(?:chk_fail|fortify_fail)$/, kind: "buffer overflow" },
  {
    of: "C",
    role: "carrier",
    names:
      /^(?:__GI_+|__)?(?:pthread_kill|raise|gsignal|abort|tkill|tgkill|kill|libc_message|libc_fatal)(?:_implementation|_internal|_impl|_local|_nocancel)?$/,
  },
  { of: "C", role: "carrier", names: /^malloc_printerr$/, kind: "heap" },
  {
    of: "C",
    role: "passed",
    names:
      /^(?:__GI_+)?(?:__libc_|__)?(?:malloc|calloc|realloc|reallocarray|free|cfree|memalign|posix_memalign|aligned_alloc|valloc)$/,
    kind: "heap",
  },
  { of: "C", role: "passed", names: /^_int_(?:malloc|free|realloc|memalign)(?:_\w+)?$/, kind: "heap" },
  {
    of: "C",
    role: "passed",
    names: /^(?:malloc_consolidate|unlink_chunk|sysmalloc|tcache_\w+|munmap_chunk|systrim)$/,
    kind: "heap",
  },
  {
    of: "C",
    role: "passed",
    names:
      /^(?:__GI_+|__)?(?:mem(?:cpy|move|set|cmp|chr|rchr|mem|pcpy|ccpy)|str(?:n?cpy|n?cat|n?cmp|n?casecmp|n?len|r?chr|chrnul|n?dup|str|casestr|spn|cspn|pbrk|tok|tok_r|sep|to[ldfu]+|coll|xfrm)|stp(?:n?cpy)|wcs\w+|wmem\w+|rawmemchr|bcopy|bzero|explicit_bzero)(?:_(?:chk|avx|avx2|avx512|sse|sse2|sse4|ssse3|evex|evex256|evex512|erms|generic|ifunc|unaligned|rtm|no_vzeroupper|simple|falkor|thunderx|thunderx2|a64fx|mops|sve|kunpeng|nosimd|large))*$/,
  },
  {
    of: "C",
    role: "passed",
    names:
      /^(?:__GI_+|__|_IO_)?(?:v?[fsd]?n?printf|v?asprintf|v?[fs]?scanf|v?fw?printf\w*|puts|fputs|putc|fputc|getc|fgets|fread|fwrite|fclose|fflush|fopen|qsort|qsort_r|msort_with_tmp|introsort_r|bsearch|longjmp|siglongjmp|setjmp|exit|run_exit_handlers|vfprintf_internal|printf_buffer\w*)(?:_(?:chk|internal|unlocked|r))?$/,
  },
  { of: "C", role: "passed", names: /^(?:_IO_|__libc_|__GI_|__pthread_|_dl_|__tls_|__vdso_|__kernel_)\w+$/ },
  // How C++ does.
  { of: "C++", role: "carrier", names: /^(?:std::terminate|std::unexpected)$/, kind: "terminate" },
  { of: "C++", role: "carrier", names: /^(?:std::__glibcxx_assert_fail|std::__replacement_assert)$/, kind: "assert" },
  { of: "C++", role: "carrier", names: /^(?:__cxa_pure_virtual|__cxa_deleted_virtual)$/, kind: "pure virtual call" },
  { of: "C++", role: "carrier", names: /^(?:std::abort|__gnu_cxx::__verbose_terminate_handler)$/ },
  {
    of: "C++",
    role: "carrier",
    names: /^(?:__cxxabiv1::|__cxa_|_Unwind_|std::__throw_|__gxx_personality|__clang_call_terminate)/,
  },
  // Between a callable and who calls it. Debug information names inlined ones without their class.
  {
    of: "C++",
    role: "passed",
    names: /^(?:operator\(\)|_FUN|_M_\w+|__invoke(?:_impl|_r)?|__call_\w+|for_each|decltype\(auto\).*)$/,
  },
  { of: "C++", role: "passed", names: /^operator (?:new|delete)(?:\[\])?$/, kind: "heap" },
  // How Rust does. A panic that is handled by code that panics again is the first one's.
  {
    of: "Rust",
    role: "carrier",
    names:
      /^(?:core::panicking::|core::(?:option|result)::(?:unwrap|expect)_failed|std::panicking::(?:begin_panic|rust_begin_panic|panic_fmt)|core::slice::index::slice_|core::str::slice_error_fail|alloc::alloc::handle_alloc_error)/,
    kind: "panic",
    isSentinel: true,
  },
  {
    of: "Rust",
    role: "carrier",
    names:
      /^(?:rust_panic|rust_begin_unwind|__rust|__rustc|_?rust_eh_personality|panic_abort::|std::panicking::(?!try|catch_unwind)|std::process::abort|std::rt::.*abort|std::sys::.*(?:abort|__rust_end_short_backtrace))/,
  },
  {
    of: "Rust",
    role: "carrier",
    names: /^(?:core::option::Option|core::result::Result)(?:<.*>)?::(?:unwrap|expect)(?:_err)?$/,
  },
  {
    of: "Rust",
    role: "starter",
    names:
      /^(?:std::rt::|std::sys::|std::panicking::|std::panic::|std::thread::|core::ops::function::FnOnce::call_once|<?(?:alloc::boxed::Box|core::panic::unwind_safe)|__rust_try|main::_\$u7b\$)/,
  },
  { of: "Rust", role: "passed", names: /^<?(?:core|alloc|std)::/ },
  // How Go does. A deferred function that panics again is about the first panic.
  { of: "Go", role: "carrier", names: /^runtime\.sigpanic\d*$/, kind: "fault", isSentinel: true },
  {
    of: "Go",
    role: "carrier",
    names: /^runtime\.(?:gopanic|panic\w+|goPanic\w+|panicmem\w*)$/,
    kind: "panic",
    isSentinel: true,
  },
  {
    of: "Go",
    role: "carrier",
    names: /^runtime\.(?:throw|fatal|fatalthrow|fatalpanic|newstack|morestack)\w*$/,
    kind: "fatal",
  },
  { of: "Go", role: "starter", names: /^runtime[./](?:goexit|main|mstart\w*|rt0_go)$/ },
  { of: "Go", role: "carrier", names: /^(?:runtime[./]|internal\/runtime|panicmem|gogo)/ },
  { of: "Go", role: "passed", names: /^(?:_cgo_|crosscall2|x_cgo_)/ },
  // The JVM's own way from a fault to its report, and from Java to native code.
  {
    of: "JVM",
    role: "carrier",
    names:
      /^(?:VMError::|os::abort|os::die|JVM_handle_linux_signal|PosixSignals::|javaSignalHandler|crash_handler|report_vm_error|report_fatal|report_vm_out_of_memory)/,
  },
  {
    of: "JVM",
    role: "passed",
    names:
      /^(?:JavaCalls::|StubRoutines|Interpreter|AbstractInterpreter|OptoRuntime::|jni_\w+|JNIEnv_::|JVM_\w+|Unsafe_\w+|os::os_exception_wrapper)/,
  },
  {
    of: "JVM",
    role: "starter",
    names: /^(?:JavaThread::|Thread::call_run|thread_native_entry|JavaMain|ThreadJavaMain|JLI_|thread_entry)/,
  },
  // CPython between two functions of Python, which have no frames of their own.
  { of: "CPython", role: "carrier", names: /^(?:_?Py_FatalError\w*|fatal_error\w*|faulthandler_\w+)$/, kind: "fatal" },
  {
    of: "CPython",
    role: "passed",
    names:
      /^(?:_PyEval_\w+|PyEval_\w+|_PyFunction_\w+|_?PyObject_(?:Call|Vectorcall|MakeTpCall|FastCall)\w*|_PyObject_\w+|_PyVectorcall_\w+|PyVectorcall_\w+|cfunction_\w+|method_vectorcall\w*|vectorcall_\w+|slot_tp_\w+|type_call|function_code_fastcall|object_vacall|builtin_\w+|call_function|do_call_core|trampoline_\w+)$/,
  },
  {
    of: "CPython",
    role: "starter",
    names:
      /^(?:Py_RunMain|Py_BytesMain|Py_Main|pymain_\w+|PyRun_\w+|_PyRun_\w+|run_mod|run_eval_code_obj|pyrun_\w+|thread_run|t_bootstrap|pythread_wrapper)$/,
  },
  // V8 and Node.
  {
    of: "V8",
    role: "carrier",
    names:
      /^(?:node::Abort|node::Assert|node::OnFatalError|node::OOMErrorHandler|V8_Fatal|v8::base::OS::Abort|v8::base::FatalOOM|v8::Utils::ReportApiFailure)$/,
    kind: "fatal",
  },
  {
    of: "V8",
    role: "carrier",
    names:
      /^(?:v8::Utils::ReportOOMFailure|v8::internal::V8::FatalProcessOutOfMemory|v8::internal::Heap::FatalProcessOutOfMemory)$/,
    kind: "out of memory",
  },
  {
    of: "V8",
    role: "passed",
    names:
      /^(?:Builtins_|v8::internal::(?:Execution|Builtin|FunctionCallbackArguments|\(anonymous namespace\)::Invoke)|v8::Function::Call|v8::Script::Run|node::(?:InternalMakeCallback|MakeCallback|CallbackScope|InternalCallbackScope|builtins::))/,
  },
  {
    of: "V8",
    role: "starter",
    names: /^(?:node::(?:Start|LoadEnvironment|StartExecution|NodeMainInstance::|SpinEventLoop\w*)|uv_run|uv__\w+)/,
  },
];

/** Find the rule for a function. @param name normalised; @returns undefined for a function of a program's own */
export function ruleFor(name: string): FrameRule | undefined {
  return FRAME_RULES.find(({ names }) => names.test(name));
}

/**
 * Files that are no program's own: libc, the loader, the kernel's page, libraries of a language. Frames without a name in
 * them tell nothing, and a site does not count them.
 */
const SYSTEM_FILE =
  /^(?:(?:libc|libpthread|libm|libdl|librt|ld|libgcc_s|libstdc\+\+|libc\+\+|libc\+\+abi|libunwind|ld-linux[\w-]*|ld-musl[\w-]*|libc-[\d.]+|libpthread-[\d.]+|libm-[\d.]+|ld-[\d.]+)\.(?:so|musl)\b.*|\[vdso\]|linux-vdso\.so.*)$/;

/** Programs that run others' code: what they crash in is told by names alone. */
const RUNTIME_FILE =
  /^(?:libjvm\.so|libjli\.so|libjava\.so|libpython[\d.]*\.so.*|python[\d.]*|pypy[\d.]*|node|nodejs|libnode\.so.*|java|libcoreclr\.so|libruby[\w.-]*\.so.*|ruby[\d.]*|perl[\d.]*|php[\d.]*)$/;

/** Tell whether a file is libc, the loader, the kernel's page or a language's own library. @param path as the manifest has it */
export function isSystemFile(path: string): boolean {
  return SYSTEM_FILE.test(fileName(path));
}

/** Tell whether a file runs programs of another language. */
export function isRuntimeFile(path: string): boolean {
  return RUNTIME_FILE.test(fileName(path));
}

/** Functions in which a thread waits: a signal found it there by chance. */
const WAITING =
  /^(?:__GI_+|__|__libc_)?(?:poll|ppoll|epoll_wait|epoll_pwait2?|select|pselect|nanosleep|clock_nanosleep(?:_time64)?|sleep|usleep|pause|sigsuspend|sigwait\w*|sigtimedwait|read|readv|recv|recvfrom|recvmsg|accept4?|wait|wait4|waitpid|waitid|futex\w*|syscall|syscall_cancel\w*|internal_syscall_cancel|pthread_cond_\w+|pthread_mutex_lock|pthread_join|sem_\w*wait|io_getevents|msgrcv|flock)$/;

/** Tell whether a function waits for something outside. @param name normalised */
export function isWaiting(name: string): boolean {
  return WAITING.test(name) || /^(?:runtime\.(?:futex|epollwait|usleep)|internal\/runtime\/syscall\.)/.test(name);
}

/** Take the last part of a path. */
export function fileName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
