"""Numbers of the system calls that a jailed process may use, per machine.

What is not listed is refused. Left out on purpose, although they look harmless: ``kill`` and its kin (even to oneself),
``sched_setaffinity``, ``setpriority`` (both reach other processes of the same user), ``memfd_create``, System V and
POSIX shared memory, ``socketpair`` and ``sendmsg`` (descriptor passing), ``flock``, ``timer_create``, ``execve``,
``umask``, ``chdir``.
"""

from __future__ import annotations

_MEMORY = """
brk 12 214; mmap 9 222; munmap 11 215; mremap 25 216; mprotect 10 226; madvise 28 233;
membarrier 324 283; get_mempolicy 239 236
"""
_THREADS = """
futex 202 98; futex_waitv 449 449; set_robust_list 273 99; rseq 334 293; set_tid_address 218 96; exit 60 93;
exit_group 231 94; sched_yield 24 124; sched_getaffinity 204 123; sched_getscheduler 145 120; sched_getparam 143 121;
sched_get_priority_max 146 125; sched_get_priority_min 147 126; getpriority 140 141; arch_prctl 158 -
"""
_FILES = """
read 0 63; write 1 64; readv 19 65; writev 20 66; pread64 17 67; pwrite64 18 68; lseek 8 62; close 3 57;
close_range 436 436; fstat 5 80; stat 4 -; lstat 6 -; newfstatat 262 79; statx 332 291; access 21 -; faccessat 269 48;
faccessat2 439 439; getdents64 217 61; getcwd 79 17; readlink 89 -; readlinkat 267 78; dup 32 23; dup2 33 -;
dup3 292 24; pipe 22 -; pipe2 293 59; poll 7 -; ppoll 271 73; select 23 -; pselect6 270 72; epoll_create1 291 20;
epoll_ctl 233 21; epoll_wait 232 -; epoll_pwait 281 22; eventfd2 290 19; fadvise64 221 223
"""
_TIME = """
clock_gettime 228 113; clock_getres 229 114; clock_nanosleep 230 115; nanosleep 35 101; gettimeofday 96 169;
time 201 -; times 100 153; getrusage 98 165; setitimer 38 103; getitimer 36 102; alarm 37 -
"""
_SELF = """
getpid 39 172; gettid 186 178; getppid 110 173; getuid 102 174; geteuid 107 175; getgid 104 176; getegid 108 177;
getgroups 115 158; getresuid 118 148; getresgid 120 150; getpgrp 111 -; getpgid 121 155; getsid 124 156; uname 63 160;
sysinfo 99 179; getcpu 309 168; getrlimit 97 163; setrlimit 160 164; getrandom 318 278; wait4 61 260; waitid 247 95
"""
_SIGNALS = """
rt_sigaction 13 134; rt_sigprocmask 14 135; rt_sigreturn 15 139; rt_sigpending 127 136; rt_sigsuspend 130 133;
rt_sigtimedwait 128 137; sigaltstack 131 132; pause 34 -; restart_syscall 219 128
"""
_CONDITIONAL = """
open 2 -; openat 257 56; openat2 437 437; fcntl 72 25; ioctl 16 29; prlimit64 302 261; prctl 157 167; clone 56 220;
clone3 435 435
"""

ALLOWED_TABLES = _MEMORY + ";" + _THREADS + ";" + _FILES + ";" + _TIME + ";" + _SELF + ";" + _SIGNALS
LAST_KNOWN = 462
"""Numbers above this are younger than these tables; they are answered with "not implemented" so that libc falls
back."""

COLUMNS = {"x86_64": 0, "aarch64": 1}


def _numbers(tables: str, machine: str) -> dict[str, int]:
    rows = (row.split() for row in tables.replace("\n", " ").split(";") if row.strip())
    return {name: int(column[COLUMNS[machine]]) for name, *column in rows if column[COLUMNS[machine]] != "-"}


def allowed(machine: str) -> dict[str, int]:
    """Names and numbers of the calls that are allowed whatever their arguments."""
    return _numbers(ALLOWED_TABLES, machine)


def conditional(machine: str) -> dict[str, int]:
    """Names and numbers of the calls whose arguments decide."""
    return _numbers(_CONDITIONAL, machine)
